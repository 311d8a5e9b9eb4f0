// Two networks that no floor of the house has heard of: a detector without masks, and a grid of cells with masks. What
// they can do with the trainer, the evaluation and the commands, every family of networks can.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "autograd/arrange.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "models/segmenter.h"
#include "nn/layers.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "ops/assignment.h"

namespace tessera::test {

// Both look at the picture through three convolutions, [N, H, W, 3] -> [N, H/8, W/8, C]. A cell of the map speaks for
// the object whose centre lies in it: C = classes + 4, logits and the box (x, y, width, height over the padded sides).
class CellNetwork : public Segmenter {
 public:
  explicit CellNetwork(i64 classes, u64 seed = 1) : classes_(classes) {
    Random random(seed, stream_of("weights"));
    i64 in = 3;
    for (const i64 out : {8, 16, 16}) {
      stages_.emplace_back(
          nn::Conv2dConfig{
              .in = in, .out = out, .kernel = 3, .stride = 2, .padding = 1, .activation = ops::Activation::kRelu},
          random);
      in = out;
    }
    head_ = nn::Conv2d({.in = in, .out = classes + 4}, random);
  }

  void visit(nn::Visitor& v) override {
    for (size_t i = 0; i < stages_.size(); ++i) v.child("backbone." + std::to_string(i), stages_[i]);
    v.child("head", head_);
  }

 protected:
  struct Output {
    Var logits, boxes;  // [cells, K], [cells, 4], of all pictures
    i64 height = 0, width = 0;
  };
  Output forward(const Batch& batch) {
    const nn::Running running(*this);
    Var x(batch_images(batch, device()));
    for (const nn::Conv2d& stage : stages_) x = stage(x);
    x = head_(x);
    const i64 h = x.dim(1), w = x.dim(2);
    x = reshape(x, {x.dim(0) * h * w, classes_ + 4});
    return {slice(x, 1, 0, classes_), sigmoid(slice(x, 1, classes_, classes_ + 4)), h, w};
  }

  // The cells that speak for the objects of a batch.
  struct Objects {
    std::vector<i64> cells, classes;
    std::vector<float> boxes;
  };
  Objects objects(const Batch& batch, const Output& output) const {
    Objects objects;
    for (i64 n = 0; n < batch.size(); ++n) {
      const Targets& truth = batch.samples[static_cast<size_t>(n)].targets;
      const auto [H, W] = batch.padded;
      for (i64 k = 0; k < truth.count(); ++k) {
        const float* b = truth.boxes.data<float>() + 4 * k;
        const i64 row = std::clamp<i64>(static_cast<i64>((b[1] + b[3]) / 16), 0, output.height - 1);
        const i64 column = std::clamp<i64>(static_cast<i64>((b[0] + b[2]) / 16), 0, output.width - 1);
        objects.cells.push_back((n * output.height + row) * output.width + column);
        objects.classes.push_back(truth.classes.data<i64>()[k]);
        for (const float side : {b[0] / static_cast<float>(W), b[1] / static_cast<float>(H),
                                 (b[2] - b[0]) / static_cast<float>(W), (b[3] - b[1]) / static_cast<float>(H)})
          objects.boxes.push_back(side);
      }
    }
    return objects;
  }
  Var box_loss(const Output& output, const Objects& objects) const {
    const i64 K = std::ssize(objects.cells);
    return l1_loss(gather_rows(output.boxes, Tensor::from(objects.cells)), Tensor::from(objects.boxes, {K, 4}),
                   Reduction::kSum);
  }
  Tensor labels(const Output& output, const Objects& objects) const {
    return ops::indicator_matrix(Tensor::from(objects.cells), Tensor::from(objects.classes), output.logits.dim(0),
                                 classes_);
  }

  // The best class of each cell whose probability is above `least`, with its box in the original picture.
  struct Cell {
    i64 class_index = 0, cell = 0;
    double probability = 0;
    XywhBox box = {};
  };
  std::vector<std::vector<Cell>> cells(const Batch& batch, double least) {
    const NoGrad no_grad;
    const Output output = forward(batch);
    const Tensor logits = output.logits.value().to_host(), boxes = output.boxes.value().to_host();
    std::vector<std::vector<Cell>> found(static_cast<size_t>(batch.size()));
    const i64 cells_of_picture = output.height * output.width;
    for (i64 c = 0; c < logits.dim(0); ++c) {
      const i64 n = c / cells_of_picture;
      const float* row = logits.data<float>() + c * classes_;
      const float* best = std::max_element(row, row + classes_);
      const double probability = 1 / (1 + std::exp(-double{*best}));
      if (probability <= least) continue;
      const ImageSize seen = batch.size_of(n), original = batch.samples[static_cast<size_t>(n)].original;
      const double x = static_cast<double>(batch.padded.width * original.width) / static_cast<double>(seen.width);
      const double y = static_cast<double>(batch.padded.height * original.height) / static_cast<double>(seen.height);
      const float* b = boxes.data<float>() + 4 * c;
      found[static_cast<size_t>(n)].push_back(
          {best - row, c % cells_of_picture, probability, {b[0] * x, b[1] * y, b[2] * x, b[3] * y}});
    }
    return found;
  }

 private:
  i64 classes_;
  std::vector<nn::Conv2d> stages_;
  nn::Conv2d head_;
};

// Boxes alone. Its losses are sums that are averaged over batches, and its background is learned at cells drawn at
// random.
class ImaginaryDetector : public CellNetwork {
 public:
  using CellNetwork::CellNetwork;

  Losses losses(const Batch& batch, const StepContext& context) override {
    const Output output = forward(batch);
    const Objects truth = objects(batch, output);
    std::vector<i64> learned = truth.cells;
    for (const Sample& sample : batch.samples) {
      Random random = context.random("background", sample.index);
      for (int i = 0; i < 16; ++i) learned.push_back(random.integer(0, output.logits.dim(0) - 1));
    }
    const Tensor rows = Tensor::from(learned);
    const Var classes = binary_cross_entropy_with_logits(
        gather_rows(output.logits, rows), ops::gather_rows(labels(output, truth), rows), Reduction::kSum);
    return {{{"loss_classes", classes}, {"loss_boxes", box_loss(output, truth)}}};
  }

  Detections detect(const Batch& batch) override {
    Detections found;
    for (const std::vector<Cell>& cells_of_picture : cells(batch, 0.1)) {
      found.emplace_back();
      for (const Cell& cell : cells_of_picture)
        found.back().push_back(Instance::of_box(cell.class_index, cell.probability, cell.box, cell.cell));
    }
    return found;
  }

  bool has_masks() const override { return false; }
};

// A cell's object is the ellipse in its box, and its mask is surer than the box. Its losses are divided by the objects;
// from the second epoch on the boxes count more.
class ImaginaryGrid : public CellNetwork {
 public:
  using CellNetwork::CellNetwork;

  Losses losses(const Batch& batch, const StepContext& context) override {
    const Output output = forward(batch);
    const Objects truth = objects(batch, output);
    const double share = 1 / std::max<double>(1, static_cast<double>(batch.objects()));
    Losses losses{
        {{"loss_classes", sigmoid_focal_loss(output.logits, labels(output, truth), 0.25, 2, Reduction::kSum) * share}}};
    if (context.epoch >= 1) losses.terms.push_back({"loss_boxes", box_loss(output, truth) * share});
    return losses;
  }
  std::vector<double> normalisers(const Batch& batch) const override { return {static_cast<double>(batch.objects())}; }

  Detections detect(const Batch& batch) override {
    Detections found;
    const std::vector<std::vector<Cell>> all = cells(batch, score_threshold());
    for (size_t n = 0; n < all.size(); ++n) {
      found.emplace_back();
      for (const Cell& cell : all[n])
        found.back().push_back({.class_index = cell.class_index,
                                .score = std::sqrt(cell.probability),
                                .mask = ellipse(cell.box, batch.samples[n].original),
                                .box = cell.box,
                                .box_score = cell.probability,
                                .query = cell.cell});
    }
    return found;
  }

  double score_threshold() const override { return 0.1; }
  std::optional<Limit> object_limit() const override { return Limit{64, "model.cells"}; }

 private:
  static Rle ellipse(const XywhBox& box, ImageSize size) {
    Tensor mask = Tensor::zeros({size.height, size.width}, DType::kU8);
    for (i64 y = 0; y < size.height; ++y)
      for (i64 x = 0; x < size.width; ++x) {
        const double dx = (static_cast<double>(x) + 0.5 - box[0]) / box[2] - 0.5;
        const double dy = (static_cast<double>(y) + 0.5 - box[1]) / box[3] - 0.5;
        mask.data<u8>()[y * size.width + x] = dx * dx + dy * dy <= 0.25;
      }
    return encode_rle(mask);
  }
};

}  // namespace tessera::test
