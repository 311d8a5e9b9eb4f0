// The golden results of the mask heads that EffSeg is compared with (base_maskrcnn, base_pointrend, base_refinemask):
// forward, losses, gradients and inference; and of RefineMask's boundaries (base_boundary).
#include "autograd/pointwise.h"
#include "models/roi_heads/boundary.h"
#include "models/roi_heads/mask_rcnn.h"
#include "models/roi_heads/point_rend.h"
#include "models/roi_heads/refine_mask.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/grid_sample.h"
#include "ops/paste_masks.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

using namespace roi_heads;

namespace {

constexpr ModuleGolden::Tolerances kKinks = {.gradient = 5e-3};  // ReLUs switch here and there

class RoiHeadGolden : protected ModuleGolden {
 protected:
  RoiHeadGolden(const SafeTensors& file, Report& report, const Tolerances& tolerances = Tolerances{})
      : ModuleGolden(file, report, tolerances) {
    const i64 pictures = 2;
    for (const i64 stride : {4, 8, 16, 32})
      maps_.push_back(
          map(fmt::format("maps.{}", maps_.size()),
              {pictures, channels_, (padded_.height + stride - 1) / stride, (padded_.width + stride - 1) / stride}));
    const Tensor boxes = stored("boxes").to(device());
    rois_ = {Var(boxes), input("queries", {boxes.dim(0), channels_}), stored("image_ids").to(device()),
             stored("labels").to(device())};
    targets_ = {masks().to(device()), stored("target_ids").to(device()), boxes.dim(0)};
  }

  void check_gradients(MaskHead& head, const std::vector<LossTerm>& terms) {
    Losses{terms}.total().backward();
    for (size_t i = 0; i < maps_.size(); ++i) compare_map_gradient(fmt::format("grad.maps.{}", i), maps_[i]);
    compare_gradient("grad.queries", rois_.queries);
    compare_gradients(head);
  }

  // A float tensor [R, S, S, 1] beside one that is stored without its last dimension, in any type.
  void compare_cells(const std::string& key, const Tensor& got) {
    const Tensor want = stored(key).to(DType::kF32), host = got.to_host().reshape(want.shape());
    report(key, std::ranges::equal(host.span<float>(), want.span<float>()), "must be equal");
  }

  void check_inference(MaskHead& head) {
    nn::Intermediates seen;
    const Tensor p = head.probabilities(maps_, rois_, padded_), boxes = rois_.boxes.value();
    if (stores("inf.mask_logits")) compare_map("inf.mask_logits", seen.at("mask_logits"));
    compare("inf.prob", pasted(p));
    const ops::PastedMasks found = ops::paste_masks(p, boxes, padded_.height, padded_.width);
    compare_ids("inf.area", found.areas);
    const Tensor area = ops::add_scalar(found.areas.to(DType::kF32), 1e-6),
                 score = stored("inf.class_score").to(device());
    compare("inf.score", ops::div(ops::mul(score, found.sums), area));
  }

  const i64 channels_ = number("channels"), classes_ = number("classes");
  const ImageSize padded_{number("height"), number("width")};
  std::vector<Var> maps_;
  Rois rois_;
  RoiTargets targets_;

 private:
  // A bit per pixel, the first one the highest of its byte.
  Tensor masks() {
    const std::vector<i64> shape = numbers("masks.shape");
    Tensor masks = Tensor::empty({shape.at(0), shape.at(1), shape.at(2), 1});
    const u8* bytes = stored("masks.packed").data<u8>();
    for (i64 i = 0; i < masks.numel(); ++i)
      masks.data<float>()[i] = static_cast<float>(bytes[i / 8] >> (7 - i % 8) & 1);
    return masks;
  }

  // What ops/paste_masks.h thresholds: the probabilities [R, S, S] at every pixel of the picture.
  Tensor pasted(const Tensor& probabilities) const {
    const i64 R = probabilities.dim(0), H = padded_.height, W = padded_.width, S = probabilities.dim(1);
    const Tensor boxes = rois_.boxes.value().to_host();
    Tensor at = Tensor::empty({R, H * W, 2});
    float* point = at.data<float>();
    for (i64 r = 0; r < R; ++r) {
      const float* box = boxes.data<float>() + 4 * r;
      for (i64 i = 0; i < H * W; ++i)
        for (const int axis : {0, 1}) {
          const i64 pixel = axis == 0 ? i % W : i / W;
          *point++ = (static_cast<float>(pixel) + 0.5F - box[axis]) / (box[2 + axis] - box[axis]);
        }
    }
    const Points points = points_of(at.to(device()));
    return ops::sample_points(probabilities.reshape({R, S, S, 1}), points.roi, points.at).reshape({R, H, W});
  }
};

class MaskRcnnGolden : RoiHeadGolden {
 public:
  MaskRcnnGolden(const SafeTensors& file, Report& report) : RoiHeadGolden(file, report) {}

  int run() {
    Random random(1);
    MaskRcnn head(channels_, classes_, random);
    generate(head);
    nn::Intermediates seen;
    const std::vector<LossTerm> terms = head.losses(maps_, rois_, targets_, padded_, {});
    compare_map("fused", seen.at("fused"));
    compare_map("logits", seen.at("logits"));
    compare_cells("targets", cell_targets(targets_, rois_.boxes.value(), 2 * kCells));
    compare("loss", terms.at(0).value.value().reshape({1}));
    check_gradients(head, terms);
    check_inference(head);
    return finish();
  }
};

class PointRendGolden : RoiHeadGolden {
 public:
  PointRendGolden(const SafeTensors& file, Report& report) : RoiHeadGolden(file, report, kKinks) {}

  int run() {
    Random random(1);
    const PointRendConfig config{number("train_points"), number("subdivision_points"), number("steps")};
    PointRend head(channels_, classes_, config, random);
    generate(head);
    nn::Intermediates seen;
    const i64 R = rois_.count(), N = config.train_points, rest = stored("points").dim(1) - N * 3 / 4;
    const Tensor uniform = ops::concat(
        {input("rand_over", {R, 3 * N, 2}, 0, 1, false).value(), input("rand_rest", {R, rest, 2}, 0, 1, false).value()},
        1);
    const std::vector<LossTerm> terms = head.losses(maps_, rois_, targets_, uniform);
    compare_map("fused", seen.at("fused"));
    compare_map("logits", seen.at("logits"));
    compare_cells("targets", cell_targets(targets_, rois_.boxes.value(), 2 * kCells));
    compare("points", seen.at("points").reshape({R, N, 2}));
    compare("point_logits", seen.at("point_logits").reshape({R, N}));
    compare("point_targets", seen.at("point_targets").reshape({R, N}));
    compare("losses", ops::concat({terms.at(0).value.value().reshape({1}), terms.at(1).value.value().reshape({1})}, 0));
    check_gradients(head, terms);
    check_inference(head);
    return finish();
  }
};

class RefineMaskGolden : RoiHeadGolden {
 public:
  RefineMaskGolden(const SafeTensors& file, Report& report) : RoiHeadGolden(file, report, kKinks) {}

  int run() {
    Random random(1);
    RefineMask head(channels_, classes_, random);
    generate(head);
    nn::Intermediates seen;
    const std::vector<LossTerm> terms = head.losses(maps_, rois_, targets_, padded_, {});
    StageLogits logits;
    StageTargets targets;
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = Var(seen.at(fmt::format("preds.{}", i)));
      targets[i] = cell_targets(targets_, rois_.boxes.value(), kCells << i);
      compare_map(fmt::format("preds.{}", i), logits[i].value());
      compare_cells(fmt::format("targets.{}", i), targets[i]);
    }
    std::vector<Tensor> losses;
    for (const Var& loss : refinement_losses(logits, targets)) losses.push_back(loss.value().reshape({1}));
    compare("stage_losses", ops::concat(losses, 0));
    compare("loss", Losses{terms}.total().value().reshape({1}));
    check_gradients(head, terms);
    check_inference(head);
    return finish();
  }
};

class BoundaryGolden : ModuleGolden {
 public:
  using ModuleGolden::ModuleGolden;

  int run() {
    const Tensor& mask = stored("mask");
    const Shape shape = {mask.dim(0), mask.dim(1), mask.dim(2), 1};
    for (const i64 d : {1, 2}) {
      const std::string key = fmt::format("boundary.{}", d);
      const Tensor found = boundary(mask.to(DType::kF32).reshape(shape).to(device()), d).to(DType::kU8).to_host();
      report(key, std::ranges::equal(found.span<u8>(), stored(key).span<u8>()), "must be equal");
    }
    return finish();
  }
};

const bool kAdded =
    add_network({"PointRend++", [](const SafeTensors& file) { return file.contains("point_logits"); },
                 check_with<PointRendGolden>}) &&
    add_network({"RefineMask++", [](const SafeTensors& file) { return file.contains("stage_losses"); },
                 check_with<RefineMaskGolden>}) &&
    add_network({"Mask R-CNN++",
                 [](const SafeTensors& file) {
                   return file.contains("grad.mask_head.upsample.weight") && !file.contains("point_logits");
                 },
                 check_with<MaskRcnnGolden>}) &&
    add_network({"RefineMask's boundaries", [](const SafeTensors& file) { return file.contains("boundary.1"); },
                 check_with<BoundaryGolden>});

}  // namespace

}  // namespace tessera::goldens
