// How a network refines the mask of each box of one picture, stage by stage: EffSeg's Figure 1.
#pragma once

#include <vector>

#include "data/sample.h"
#include "models/segmenter.h"

namespace tessera {

// Throws, naming who asks, unless the model refines masks in stages.
void check_mask_stages(const Segmenter& model, const char* who);

class MaskStages {
 public:
  // Runs the network on a batch of one picture.
  MaskStages(Segmenter& model, const Batch& batch);

  // Of a stage in all boxes.
  struct Cells {
    i64 size = 0, active = 0, all = 0;  // along a side of a grid; those that the stage computes; in all grids
    void operator+=(const Cells& other) { size = other.size, active += other.active, all += other.all; }
    double share() const { return all > 0 ? static_cast<double>(active) / static_cast<double>(all) : 0; }
  };
  const std::vector<Cells>& cells() const { return cells_; }

  // The box of a query's mask, a tile per stage: the mask in colour, the cells that the stage does not compute
  // darkened, and the share of those that it does. image: u8 [H, W, 3], the picture as it was read.
  Tensor picture(const Tensor& image, i64 query) const;

 private:
  struct Stage {
    Tensor mask, active;  // f32 logits and u8, [R, S, S]
  };
  Tensor crop(const Tensor& image, i64 row) const;

  std::vector<Stage> stages_;
  std::vector<Cells> cells_;
  Tensor query_, boxes_;  // i64 [R], f32 [R, 4]
  ImageSize seen_;        // the picture's part of the network's input
  i64 side_ = 0;          // of a tile, in pixels
};

}  // namespace tessera
