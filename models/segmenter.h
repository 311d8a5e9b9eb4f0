// What every instance-segmentation model offers to training, evaluation and prediction.
#pragma once

#include <string>
#include <vector>

#include "data/rle.h"
#include "data/sample.h"
#include "nn/module.h"

namespace tessera {

// One weighted term of the training loss; the total is the plain sum of all terms.
struct LossTerm {
  std::string name;  // "loss_ce"
  Var value;         // scalar
};

// One detected object, in the pixels of the original image.
struct Instance {
  i64 class_index = 0;  // 0 .. classes - 1, by ascending category id
  double score = 0;
  Rle mask;
  i64 query = 0;  // which of the model's queries found it
};

// What must be finite in a step beside its loss terms, found out without a wait for the device.
struct FiniteMarks {
  std::vector<std::string> messages;  // "sparseinst matcher: pred_masks of street.jpg are not finite"
  Tensor marks;                       // of each: 0, or NaN where it is so
};

struct Losses {
  std::vector<LossTerm> terms;
  std::vector<FiniteMarks> marks = {};
};

class Segmenter : public nn::Module {
 public:
  // Training: the loss terms of one batch, recorded on the tape. The host does not wait for them.
  virtual Losses losses(const Batch& batch) = 0;
  // Inference: the objects found in each image of the batch.
  virtual std::vector<std::vector<Instance>> detect(const Batch& batch) = 0;

  // What losses() computes activations in: f32, or bf16 for mixed precision (docs/precision.md). Weights, matching and
  // losses are f32 in both, and so is detect().
  DType training_dtype = DType::kF32;
};

}  // namespace tessera
