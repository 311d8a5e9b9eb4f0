// The bodies of the two single-header picture libraries, compiled once. Third-party code on damaged input may overflow
// integers, so this file (alone) is built with wrapping arithmetic and without warnings: see CMakeLists.txt.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include "data/stb.h"
