// The picture libraries with the settings of this project: JPEG and PNG from memory to memory. Only data/image.cpp
// needs it.
#pragma once

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 65536
#include <stb_image.h>
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>
