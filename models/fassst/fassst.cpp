#include "models/fassst/fassst.h"

#include <algorithm>

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "models/fassst/boxes.h"
#include "models/fassst/criterion.h"
#include "models/fassst/inference.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"
#include "tensor/device_branch.h"

namespace tessera::fassst {

namespace {

constexpr size_t kRegions = 1;  // of the normalisers; the first: cells

// Rows of the backbone whose maps go into the pyramid: at strides 8, 16, 32, or 4, 8, 16 and 32 as the start of the
// way down. Of MobileNetV2's rows at one stride the last that is no classifier.
std::vector<i64> pyramid_rows(const Config& config) {
  const bool mobile = config.backbone.kind == BackboneKind::kMobileNetV2;
  std::vector<i64> rows = mobile ? std::vector<i64>{3, 4, 6, 8} : rows_at(config.backbone.kind, {4, 8, 16, 32});
  if (config.mask.first_stride == 8) rows.erase(rows.begin());
  return rows;
}

std::vector<i64> backbone_rows(const Config& config) {
  std::vector<i64> rows = pyramid_rows(config);
  rows.push_back(config.head_depth);
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

size_t place_of(i64 row, const std::vector<i64>& rows) {
  return static_cast<size_t>(std::ranges::find(rows, row) - rows.begin());
}

}  // namespace

Fassst::Fassst(const Config& config, Random& random) : config_(check_fields("fassst", config)) {
  TESSERA_CHECK(config.loss.boxes == BoxLoss::kGiou || config.attention.boxes == BoxForm::kEdges,
                "fassst: loss.boxes = \"focal\" is a loss on edges; set attention.boxes = \"edges\"");
  TESSERA_CHECK(config.loss.boxes == BoxLoss::kFocal || config.attention.boxes == BoxForm::kCentre,
                "fassst: attention.boxes = \"edges\" are learned by the focal loss; set loss.boxes = \"focal\"");
  const std::vector<i64> rows = backbone_rows(config);
  backbone_ = make_backbone(config.backbone, random, rows);
  e_ = place_of(config.head_depth, rows);
  std::vector<FeatureLevel> levels;
  for (const i64 row : pyramid_rows(config)) {
    lateral_.push_back(place_of(row, rows));
    levels.push_back(backbone_->levels()[lateral_.back()]);
  }
  const AttentionPlan plan =
      plan_attention(config.attention, backbone_->levels()[e_], {config.input[0], config.input[1]});
  attention_.emplace(config.attention, plan, config.num_classes, random);
  pyramid_.emplace(config.mask.channels, levels, random);
  tail_.emplace(config.mask, random);
}

std::vector<DependentPart> Fassst::dependent_parts() const {
  return {{.names = "iam." + attention_->fitted_name() + ".*"},
          {.names = "iam." + attention_->last_name() + ".*", .first_class = 5}};
}

Fassst::Maps Fassst::forward(const Var& images) {
  const nn::Running running(*this);
  Maps maps;
  DeviceBranch attention(device());  // beside the rest of the backbone and the pyramid
  const std::vector<Var> rows = (*backbone_)(images, {}, [&](size_t output, const Var& map) {
    if (output == e_) attention.run([&] { maps.raw = (*attention_)(map); });
  });
  std::vector<Var> laterals;
  for (const size_t place : lateral_) laterals.push_back(rows[place]);
  maps.pyramid = (*pyramid_)(laterals);
  attention.join();
  return maps;
}

Var Fassst::masks(const Maps& maps, const Tensor& regions) const {
  const MaskConfig& mask = config_.mask;
  const std::vector<Var> levels = mask.fusion ? maps.pyramid : std::vector<Var>{maps.pyramid[0]};
  const std::vector<Var> features = region_features(levels, mask.first_stride, regions, mask.side);
  const Var fused = fuse_regions(features);
  for (size_t k = 0; k < features.size(); ++k) nn::keep(fmt::format("r{}", k + 1), features[k]);
  nn::keep("r", fused);
  return (*tail_)(fused);
}

Losses Fassst::losses(const Batch& batch, const StepContext& context) {
  // Before the forward pass: a copy to a device that is computing may make the host wait.
  const Device device = this->device();
  const Tensor images = batch_images(batch, device);
  const Assignment assignment = assign(batch, grid());
  const CellTargets targets = cell_targets(assignment, batch.size(), config_, device);
  const RegionTargets drawn = draw_regions(assignment, batch, config_.loss.max_rois, context, device);
  const Tensor of_objects = object_masks(batch, device).masks;  // [T, H, W, 1]
  if (training()) {
    seen_ += std::ssize(assignment.boxes);
    left_out_ += assignment.left_out();
  }

  const Maps maps = forward(Var(images.to(training_dtype)));
  const Var boxes = decode(maps.raw, config_.attention.boxes);
  const Tensor cut = cut_to_frame(boxes.value());
  Losses losses{cell_losses(maps.raw, boxes, counted_cells(cut, targets), targets, config_)};

  const bool first_epoch = context.epoch < 1;
  const Tensor of_positives = first_epoch ? Tensor() : ops::gather_rows(cut, targets.cell);
  const Tensor in = training_boxes(drawn, of_positives);
  const Tensor wanted = mask_targets(of_objects, regions(drawn.object, in, batch.padded), 2 * config_.mask.side);
  const Var logits = masks(maps, regions(drawn.picture, in, batch.padded));
  losses.terms.push_back({"loss_mask", mask_loss(logits, wanted) * config_.loss.mask_weight, kRegions});
  return losses;
}

std::vector<double> Fassst::normalisers(const Batch& batch) const {
  const Assignment assignment = assign(batch, grid());
  std::vector<i64> of_picture(static_cast<size_t>(batch.size()));
  for (const i64 object : assignment.object)
    ++of_picture[static_cast<size_t>(assignment.picture[static_cast<size_t>(object)])];
  i64 regions = 0;
  for (const i64 count : of_picture) regions += std::min(count, config_.loss.max_rois);
  return {static_cast<double>(assignment.positives()), static_cast<double>(regions)};
}

Detections Fassst::detect(const Batch& batch) {
  const Inference scope(*this);
  const Maps maps = forward(scope.images(batch));
  const InferenceConfig inference =
      given ? InferenceConfig{.score_threshold = 0, .detections = given->objects} : config_.inference;
  const Predictions found = find_predictions(maps.raw.value(), config_.attention, inference);
  const Tensor in = regions(Tensor::from(found.picture), found.boxes, batch.padded).to(device());
  const Tensor probabilities = ops::sigmoid(masks(maps, in).value());  // [P, 2 S, 2 S]

  Detections detections;
  for (i64 b = 0; b < batch.size(); ++b) {
    std::vector<Instance>& instances = detections.emplace_back();
    const i64 first = found.first[static_cast<size_t>(b)], last = found.first[static_cast<size_t>(b) + 1];
    if (first == last) continue;
    const ImageSize original = batch.samples[static_cast<size_t>(b)].original;
    const Tensor boxes = to_original(found.boxes.rows(first, last), batch.padded, batch.size_of(b), original);
    std::vector<Rle> of_picture = picture_masks(probabilities.rows(first, last), boxes, original);
    for (i64 p = first; p < last; ++p) {
      const auto at = static_cast<size_t>(p);
      const float* box = boxes.data<float>() + 4 * (p - first);
      if (!(box[2] > box[0] && box[3] > box[1])) continue;  // beside the picture
      const double score = double{found.scores[at]};
      instances.push_back(
          {.class_index = found.classes[at],
           .score = score,
           .mask = std::move(of_picture[static_cast<size_t>(p - first)]),
           .box = {double{box[0]}, double{box[1]}, double{box[2]} - double{box[0]}, double{box[3]} - double{box[1]}},
           .box_score = score,
           .query = found.cell[at]});
    }
  }
  return detections;
}

std::optional<Segmenter::Limit> Fassst::object_limit() const {
  const i64 cells = grid().height * grid().width;
  if (cells > config_.inference.detections) return Limit{config_.inference.detections, "model.inference.detections"};
  return Limit{cells, "model.attention.grid"};
}

std::string Fassst::passed_over() const {
  if (left_out_ == 0) return {};
  return fmt::format(
      "{} of {} objects were not learned: no cell of the {} x {} grid was left for them "
      "(model.attention.grid)",
      left_out_, seen_, grid().height, grid().width);
}

void Fassst::visit(nn::Visitor& v) {
  v.child("backbone", *backbone_);
  v.child("iam", attention_);
  v.child("pyramid", pyramid_);
  v.child("tail", tail_);
}

std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed) {
  Random random(seed, stream_of("weights"));
  return std::make_unique<Fassst>(config, random);
}

}  // namespace tessera::fassst
