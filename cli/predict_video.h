// Objects in the frames of a video: what `tessera predict` does where --out names one.
#pragma once

#include "cli/predict.h"

namespace tessera {

struct PredictVideoOptions {
  std::filesystem::path video;                // a file or a camera; empty: the pictures are the frames
  std::vector<std::filesystem::path> images;  // where there is no video
  std::filesystem::path out;
  std::vector<std::filesystem::path> inputs = {};  // other files that must not be overwritten
  double threshold = 0.4;                          // least score of an object that is drawn
  i64 limit = 0;                                   // frames; 0: all
  i64 rate = 25;                                   // pictures per second
  std::string encoder = {};                        // see create_video
};

// Draws the objects of every frame into a video of the same times, each object in one colour for as long as it can be
// followed (cli/tracks.h), and prints frames per second and latency: from when a frame was read until it was encoded.
// A video that ends too early, is damaged, or whose network fails is an error after the frames so far have been
// written; where they cannot be, nothing is left of them. Returns the signal that stopped it (train/signals.h), after
// which the video is complete so far, or 0.
int predict_video(const LoadedModel& model, const PredictVideoOptions& options);

}  // namespace tessera
