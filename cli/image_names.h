// What the images of one call are called in its results.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/coco.h"

namespace tessera {

// Each file's path below the deepest folder that holds all of them.
std::vector<std::filesystem::path> below_common_folder(const std::vector<std::filesystem::path>& files);

// A name for each of such paths, no two of which are the same file even where case does not count: the first of these
// that tells all of them apart. 0001 | left/0001 | left/0001.jpg | left/0001.jpg-1, with their numbers.
std::vector<std::string> distinct_names(const std::vector<std::filesystem::path>& below);

// For each file the position of its image in the data set: the one whose file_name agrees with the longest end of the
// file's path (cam_a/0001.png with /data/cam_a/0001.png, and so does 0001.png where no other is called so). Files that
// no image fits, or several, and files that fit the same image are an error that lists them; so are files whose size is
// not the image's, as far as their headers can be read.
std::vector<i64> match_images(const CocoDataset& dataset, const std::vector<std::filesystem::path>& files);

}  // namespace tessera
