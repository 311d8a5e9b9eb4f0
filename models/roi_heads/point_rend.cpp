#include "models/roi_heads/point_rend.h"

#include <cmath>

#include "autograd/arrange.h"
#include "autograd/grid_sample.h"
#include "autograd/matmul.h"
#include "autograd/pointwise.h"
#include "models/roi_heads/roi_features.h"
#include "nn/init.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "ops/interpolate.h"
#include "ops/sps.h"
#include "ops/work.h"

namespace tessera::roi_heads {

namespace {

constexpr i64 kHiddenLayers = 3;
constexpr i64 kOversample = 3;  // candidates per point

// Those of N points that are chosen by their uncertainty; the others are uniform.
i64 uncertain_of(i64 points) {
  return points * 3 / 4;
}

}  // namespace

// With a ReLU as the convolutions that have one begin, else as a linear layer.
PointHead::Layer::Layer(i64 in, i64 out, ops::Activation activation, Random& random)
    : weight(Tensor::empty({out, in, 1}), true), bias(Tensor::empty({out}), true), activation(activation) {
  if (activation == ops::Activation::kRelu) {
    nn::init_normal(weight, std::sqrt(2 / static_cast<double>(out)), random);
    nn::init_constant(bias, 0);
  } else {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    nn::init_uniform(weight, bound, random);
    nn::init_uniform(bias, bound, random);
  }
}

Var PointHead::Layer::operator()(const Var& x) const {
  const nn::Running running(*this);
  const Var matrix = reshape(nn::for_input(weight, x), {weight.dim(0), weight.dim(1)});
  return linear(x, matrix, nn::for_input(bias, x), activation);
}

void PointHead::Layer::visit(nn::Visitor& v) {
  v.parameter("weight", weight);
  v.parameter("bias", bias);
}

PointHead::PointHead(i64 channels, i64 num_classes, Random& random)
    : logits_(channels + num_classes, num_classes, ops::Activation::kNone, random) {
  for (i64 i = 0; i < kHiddenLayers; ++i)
    hidden_.emplace_back(channels + num_classes, channels, ops::Activation::kRelu, random);
}

Var PointHead::operator()(const Var& fine, const Var& coarse) const {
  const nn::Running running(*this);
  Var x = concat({fine, coarse}, 1);                                     // [P, C + K]
  for (const Layer& layer : hidden_) x = concat({layer(x), coarse}, 1);  // [P, C + K]
  return logits_(x);                                                     // [P, K]
}

void PointHead::visit(nn::Visitor& v) {
  for (size_t i = 0; i < hidden_.size(); ++i) v.child(fmt::format("fcs.{}.conv", i), hidden_[i]);
  v.child("fc_logits", logits_);
}

PointRend::PointRend(i64 channels, i64 num_classes, const PointRendConfig& config, Random& random)
    : config_(check_fields("point_rend", config)),
      fusion_(channels, random),
      mask_head_(channels, num_classes, random),
      point_head_(channels, num_classes, random) {}

Var PointRend::coarse(const std::vector<Var>& maps, const Rois& rois) const {
  const Var fused = fusion_(simple_roi_align(maps.at(0), rois, kCells), rois.queries);  // [R, 14, 14, C]
  const Var logits = mask_head_(fused);                                                 // [R, 28, 28, K]
  nn::keep("fused", fused);
  nn::keep("logits", logits);
  return logits;
}

Var PointRend::predict(const std::vector<Var>& maps, const Rois& rois, const Var& coarse, const Points& points) const {
  const i64 R = rois.count(), P = points.roi.numel();
  const Var fine = sample_finest(maps.at(0), rois, points);             // [P, C]
  const Var known = sample_points(coarse, points.roi, Var(points.at));  // [P, K]
  const Var logits = point_head_(fine, known);                          // [P, K]
  const Shape of_rois = {R, R ? P / R : 0, 1, coarse.dim(3)};
  return reshape(select_class(reshape(logits, of_rois), rois.classes), {P, 1});
}

Tensor PointRend::uniform_points(const Rois& rois, const StepContext& context) const {
  const i64 N = config_.train_points, R = rois.count();
  const Tensor image = rois.image.to_host();
  Tensor points = Tensor::empty({R, kOversample * N + N - uncertain_of(N), 2});
  std::vector<i64> seen;  // RoIs of each picture so far
  for (i64 r = 0; r < R; ++r) {
    const size_t n = static_cast<size_t>(image.data<i64>()[r]);
    if (n >= seen.size()) seen.resize(n + 1);
    Tensor own = points.rows(r, r + 1);
    context.random("point_rend", seen[n]++).fill_uniform(own, 0, 1);
  }
  return points.to(rois.image.device());
}

Points PointRend::train_points(const Tensor& logits, const Tensor& uniform) const {
  const i64 R = logits.dim(0), N = config_.train_points, M = kOversample * N, chosen = uncertain_of(N);
  const Points candidates = points_of(ops::slice(uniform, 1, 0, M));
  const Tensor there = sample_points(Var(logits), candidates.roi, Var(candidates.at)).value();  // [R M, 1]
  const Tensor hardest = ops::top_k(uncertainty(there).reshape({R, M}), chosen).indices;        // [R, chosen]
  const Tensor at = ops::gather_rows(candidates.at, ops::flat_rows(hardest, M)).reshape({R, chosen, 2});
  return points_of(ops::concat({at, ops::slice(uniform, 1, M, uniform.dim(1))}, 1));  // R N points
}

std::vector<LossTerm> PointRend::losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                                        const Tensor& uniform) {
  const nn::Running running(*this);
  const Var all = coarse(maps, rois);               // [R, 28, 28, K]
  const Var own = select_class(all, rois.classes);  // [R, 28, 28, 1]
  const Tensor wanted = cell_targets(targets, rois.boxes.value(), own.dim(1));

  const Points points = train_points(own.value(), uniform);
  const Var logits = predict(maps, rois, all, points);  // [R N, 1]
  const ImageSize extent{targets.masks.dim(1), targets.masks.dim(2)};
  const Var places = points_in_boxes(rois.boxes.detach(), points.roi, points.at, extent);
  const Tensor mask = ops::gather_rows(targets.object, points.roi);
  const Tensor there = ops::sample_points(targets.masks, mask, places.value());  // [R N, 1] between 0 and 1
  nn::keep("points", Var(points.at));
  nn::keep("point_logits", logits);
  nn::keep("point_targets", Var(there));
  return {{"loss_mask", mask_loss(own, wanted, targets)}, {"loss_point", mask_loss(logits, there, targets)}};
}

std::vector<LossTerm> PointRend::losses(const std::vector<Var>& maps, const Rois& rois, const RoiTargets& targets,
                                        ImageSize /*padded*/, const StepContext& context) {
  return losses(maps, rois, targets, uniform_points(rois, context));
}

Tensor PointRend::probabilities(const std::vector<Var>& maps, const Rois& rois, ImageSize /*padded*/) {
  const NoGrad no_grad;
  const nn::Running running(*this);
  const Var all = coarse(maps, rois);                     // [R, 28, 28, K]
  Tensor mask = select_class(all, rois.classes).value();  // [R, 28, 28, 1]
  for (i64 step = 0; step < config_.subdivision_steps; ++step) {
    const i64 R = rois.count(), S = 2 * mask.dim(1), n = config_.subdivision_points;
    mask = ops::interpolate(mask, S, S, ops::Interpolation::kBilinear);
    note_work("interpolate", {0, (all.dim(3) - 1) * 4 * mask.numel()}, mask.shape());   // the reference: of all classes
    const Tensor cells = ops::top_k(uncertainty(mask).reshape({R, S * S}), n).indices;  // [R, n]
    const Tensor at = ops::gather_rows(cell_centres(S, mask.device()), cells.reshape({R * n}));
    const Tensor logits = predict(maps, rois, all, points_of(at.reshape({R, n, 2}))).value();  // [R n, 1]
    mask =
        ops::overwrite_rows(mask.reshape({R * S * S, 1}), logits, ops::flat_rows(cells, S * S)).reshape({R, S, S, 1});
  }
  nn::keep("mask_logits", Var(mask));
  return ops::sigmoid(mask).reshape({rois.count(), mask.dim(1), mask.dim(2)});
}

void PointRend::visit(nn::Visitor& v) {
  v.child("", fusion_);
  v.child("mask_head", mask_head_);
  v.child("point_head", point_head_);
}

}  // namespace tessera::roi_heads
