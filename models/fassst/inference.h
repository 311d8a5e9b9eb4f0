// From the attention module's output to the objects of each picture.
//
// A cell's score is s(objectness) times that of its best class. Those of at least the threshold stay, with NMS those
// that no better box of their class suppresses, and of these the best.
#pragma once

#include "models/fassst/config.h"
#include "models/segmenter.h"

namespace tessera::fassst {

// P predictions, one picture after the other, by falling score; on the host.
struct Predictions {
  std::vector<i64> picture, cell, classes;
  std::vector<float> scores;
  Tensor boxes;            // f32 [P, 4]: t, l, b, r as fractions of the input, cut to it
  std::vector<i64> first;  // B + 1: picture b has first[b] .. first[b + 1] - 1
};

// raw [B, gh, gw, 5 + K]. The host waits for the device once.
Predictions find_predictions(const Tensor& raw, const AttentionConfig& attention, const InferenceConfig& config);

// Boxes [P, 4] in pixels of the original picture, x0 y0 x1 y1 and cut to it. resized: the picture in the input.
Tensor to_original(const Tensor& boxes, ImageSize input, ImageSize resized, ImageSize original);

// Probabilities [P, S, S] in boxes of the picture: pasted bilinearly, a pixel above 1/2 is in the mask. A box without
// area has an empty mask.
std::vector<Rle> picture_masks(const Tensor& probabilities, const Tensor& boxes, ImageSize original);

}  // namespace tessera::fassst
