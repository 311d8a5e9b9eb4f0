// Objects in pictures: what `tessera predict` does with a model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/loaded_model.h"

namespace tessera {

struct PredictOptions {
  std::vector<std::filesystem::path> images;
  std::string out, annotations;  // a folder, and a COCO file, image list or folder of Cityscapes (empty: none)
  std::vector<std::filesystem::path> inputs = {};  // other files that must not be overwritten
  double threshold = 0.4;                          // least score of an object that is drawn
  bool maps = false;                               // draw activation maps as well
  bool stages = false;                             // draw how each mask was refined as well
};

// A model may give objects below its own threshold and empty masks, as the evaluation of its reference wants it.
// Neither is an object to a user.
void erase_no_objects(std::vector<Instance>& found, const Segmenter& model);

// How many threads read, draw and write beside the network's.
int worker_count();

// Writes a picture of each image with its objects, results.json, counts.csv, and without annotations images.json; of a
// network that finds segments panoptic.json and its PNGs in their place, of pictures of Cityscapes its result files.
// Everything that can be wrong with the options is found before the first image; then one that cannot be read or
// written is reported on stderr, the others go on, and in the end that is an error. Returns the signal that stopped it
// (train/signals.h), or 0.
int predict(const LoadedModel& model, const PredictOptions& options);

}  // namespace tessera
