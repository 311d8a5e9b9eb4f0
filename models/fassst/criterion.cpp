#include "models/fassst/criterion.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/boxes.h"
#include "autograd/losses.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/fassst/boxes.h"
#include "ops/arrange.h"
#include "ops/boxes.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/roi_align.h"

namespace tessera::fassst {

namespace {

constexpr double kAlpha = 0.25, kGamma = 2;
constexpr double kLeftOut = 0.7, kPredictedRegion = 0.5, kShift = 0.1;
constexpr i64 kPoints = 2;

Tensor boxes_tensor(const std::vector<std::array<float, 4>>& boxes) {
  Tensor all = Tensor::empty({static_cast<i64>(boxes.size()), 4});
  for (size_t k = 0; k < boxes.size(); ++k) std::ranges::copy(boxes[k], all.data<float>() + 4 * k);
  return all;
}

Tensor at_least(const Tensor& x, double value) {
  return ops::greater_equal(x, value).to(DType::kF32);
}

// bottom - top and right - left, [N, 2]
Tensor sides(const Tensor& boxes) {
  return ops::sub(ops::slice(boxes, 1, 2, 4), ops::slice(boxes, 1, 0, 2));
}

Var box_loss(const Var& raw, const Var& boxes, const CellTargets& targets, const LossConfig& loss) {
  if (loss.boxes == BoxLoss::kFocal)
    return quality_focal_loss(slice(raw, 1, 0, 4), targets.boxes, Reduction::kSum) * 0.25;
  const Var mine = gather_rows(boxes, targets.cell);  // [N, 4]
  Var sum = generalized_box_iou_loss(mine, targets.boxes, Reduction::kSum, 0);
  if (loss.side_weight > 0) {
    const Var log_sides = log(slice(mine, 1, 2, 4) - slice(mine, 1, 0, 2));
    sum = sum + l1_loss(log_sides, ops::log(sides(targets.boxes)), Reduction::kSum) * loss.side_weight;
  }
  return sum;
}

}  // namespace

CellTargets cell_targets(const Assignment& a, i64 pictures, const Config& config, Device device) {
  const i64 cells = config.attention.grid[0] * config.attention.grid[1], N = a.positives();
  const i64 T = std::ssize(a.boxes), K = config.num_classes;
  Tensor one_hot = Tensor::zeros({N, K}), positive = Tensor::zeros({pictures * cells});
  std::vector<std::array<float, 4>> boxes;
  for (i64 n = 0; n < N; ++n) {
    const auto object = static_cast<size_t>(a.object[static_cast<size_t>(n)]);
    TESSERA_CHECK(a.classes[object] >= 0 && a.classes[object] < K, "fassst: an object has class {}, there are {}",
                  a.classes[object], K);
    boxes.push_back(a.boxes[object]);
    one_hot.data<float>()[n * K + a.classes[object]] = 1;
    positive.data<float>()[a.cell[static_cast<size_t>(n)]] = 1;
  }
  Tensor same = Tensor::zeros({pictures * cells, T});
  for (i64 t = 0; t < T; ++t)
    for (i64 c = 0; c < cells; ++c) same.data<float>()[(a.picture[static_cast<size_t>(t)] * cells + c) * T + t] = 1;
  return {N,
          Tensor::from(a.cell).to(device),
          boxes_tensor(boxes).to(device),
          one_hot.to(device),
          positive.to(device),
          boxes_tensor(a.boxes).to(device),
          same.to(device)};
}

Tensor counted_cells(const Tensor& boxes, const CellTargets& targets) {
  if (targets.all_boxes.dim(0) == 0) return Tensor::full(targets.positive.shape(), 1, DType::kF32, boxes.device());
  const Tensor ious = ops::mul(ops::box_iou(boxes, targets.all_boxes), targets.same);
  const Tensor near = at_least(ops::max(ious, 1).values, kLeftOut);  // [B gh gw]
  const Tensor others = ops::add_scalar(ops::mul_scalar(near, -1), 1);
  return ops::add(others, ops::mul(near, targets.positive));
}

std::vector<LossTerm> cell_losses(const Var& raw, const Var& boxes, const Tensor& counted, const CellTargets& targets,
                                  const Config& config) {
  const i64 K = config.num_classes, width = 5 + K, cells = raw.value().numel() / width;
  const double share = 1 / static_cast<double>(std::max<i64>(targets.count, 1));
  const double location = config.loss.location_weight * share;
  const Var flat = reshape(raw, {cells, width}), mine = gather_rows(flat, targets.cell);  // [N, 5 + K]
  const Var objectness = reshape(slice(flat, 1, 4, 5), {cells});
  const Var of_cells = sigmoid_focal_loss(objectness, targets.positive, kAlpha, kGamma, Reduction::kNone);
  const Var of_classes = sigmoid_focal_loss(slice(mine, 1, 5, width), targets.one_hot, kAlpha, kGamma, Reduction::kSum);
  return {{"loss_object", sum(of_cells * Var(counted)) * location},
          {"loss_box", box_loss(mine, boxes, targets, config.loss) * location},
          {"loss_class", of_classes * (config.loss.class_weight * share)}};
}

RegionTargets draw_regions(const Assignment& a, const Batch& batch, i64 most, const StepContext& context,
                           Device device) {
  std::vector<i64> positive, object, picture;
  std::vector<std::array<float, 4>> boxes, shifts;
  for (i64 b = 0; b < batch.size(); ++b) {
    Random random = context.random("mask regions", batch.samples[static_cast<size_t>(b)].index);
    std::vector<i64> mine;
    for (i64 n = 0; n < a.positives(); ++n)
      if (a.picture[static_cast<size_t>(a.object[static_cast<size_t>(n)])] == b) mine.push_back(n);
    if (std::ssize(mine) > most) {
      random.shuffle(std::span(mine));
      mine.resize(static_cast<size_t>(most));
      std::ranges::sort(mine);
    }
    for (const i64 n : mine) {
      positive.push_back(n);
      object.push_back(a.object[static_cast<size_t>(n)]);
      picture.push_back(b);
      boxes.push_back(a.boxes[static_cast<size_t>(object.back())]);
      for (float& shift : shifts.emplace_back()) shift = static_cast<float>(random.uniform(-kShift, kShift));
    }
  }
  return {Tensor::from(positive).to(device), Tensor::from(object).to(device), Tensor::from(picture).to(device),
          boxes_tensor(boxes).to(device), boxes_tensor(shifts).to(device)};
}

Tensor training_boxes(const RegionTargets& regions, const Tensor& predicted) {
  const Tensor side = sides(regions.boxes);
  const Tensor shifted = cut_to_frame(ops::add(regions.boxes, ops::mul(regions.shift, ops::concat({side, side}, 1))));
  if (!predicted || regions.boxes.dim(0) == 0) return shifted;
  const Tensor mine = ops::gather_rows(predicted, regions.positive);  // [R, 4]
  const Tensor good = at_least(ops::paired_box_iou(mine, regions.boxes), kPredictedRegion).reshape({mine.dim(0), 1});
  const Tensor rest = ops::add_scalar(ops::mul_scalar(good, -1), 1);
  return ops::add(ops::mul(mine, good), ops::mul(shifted, rest));
}

Tensor mask_targets(const Tensor& masks, const Tensor& regions, i64 S) {
  const Tensor part =
      ops::roi_align(masks, regions, {.height = S, .width = S, .sampling_ratio = kPoints, .aligned = true});
  return at_least(part, 0.5).reshape({regions.dim(0), S, S});
}

Var mask_loss(const Var& logits, const Tensor& targets) {
  const Var p = sigmoid(logits), q(targets);
  const Var overlap = sum(p * q, {1, 2}) * 2 + 1, whole = sum(p * p, {1, 2}) + Var(ops::sum(targets, {1, 2})) + 1;
  const double share = 1 / static_cast<double>(std::max<i64>(logits.dim(0), 1));
  return sum((overlap / whole) * -1 + 1) * share;
}

}  // namespace tessera::fassst
