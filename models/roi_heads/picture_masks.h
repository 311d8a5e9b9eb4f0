// From the probabilities in the boxes to the masks of a picture.
//
// The probabilities are pasted into the padded input, where a pixel above 1/2 is predicted (ops/paste_masks.h); the
// padding is cut off and the mask, not the probabilities, resized bilinearly to the original picture, where every pixel
// that gets anything belongs to it.                                             Picron and Tuytelaars, EffSeg, its code
#pragma once

#include "data/rle.h"
#include "models/segmenter.h"

namespace tessera::roi_heads {

struct PictureMasks {
  std::vector<Rle> masks;         // R, of the original picture
  std::vector<double> certainty;  // R: mean probability of the predicted pixels, 0 without one. Times the class score
                                  // it is the score of the mask.
};

// Of R RoIs of one picture: probabilities f32 [R, S, S], boxes f32 [R, 4] in pixels of the padded batch. resized: the
// picture in the batch, original: in its file.
PictureMasks picture_masks(const Tensor& probabilities, const Tensor& boxes, ImageSize padded, ImageSize resized,
                           ImageSize original);

}  // namespace tessera::roi_heads
