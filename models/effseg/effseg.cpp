#include "models/effseg/effseg.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "models/effseg/head.h"
#include "models/fqdet/fqdet.h"
#include "models/roi_heads/picture_masks.h"
#include "models/roi_heads/refine_mask.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"

namespace tessera::effseg {

namespace {

std::unique_ptr<roi_heads::MaskHead> make_head(const Config& config, i64 channels, Random& random) {
  switch (config.head.kind) {
    case HeadKind::kEffSeg:
      return std::make_unique<EffSegHead>(config.head.effseg, channels, random);
    case HeadKind::kMaskRcnn:
      return std::make_unique<roi_heads::MaskRcnn>(channels, config.num_classes, random);
    case HeadKind::kPointRend:
      return std::make_unique<roi_heads::PointRend>(channels, config.num_classes, config.head.point_rend, random);
    case HeadKind::kRefineMask:
      return std::make_unique<roi_heads::RefineMask>(channels, config.num_classes, random);
  }
  fail("effseg: there is no head {}", static_cast<int>(config.head.kind));
}

// The maps of pictures first .. last - 1.
std::vector<Var> of_pictures(const std::vector<Var>& maps, i64 first, i64 last) {
  if (first == 0 && last == maps[0].dim(0)) return maps;
  std::vector<Var> part;
  for (const Var& map : maps) part.push_back(slice(map, 0, first, last));
  return part;
}

// At most `most` of the matches of every picture, drawn at random, in their order: rows of the matches of pictures
// first .. last - 1.
std::vector<i64> drawn(const std::vector<std::vector<i64>>& by_picture, i64 first, i64 last, i64 most,
                       const Batch& batch, const StepContext& context) {
  std::vector<i64> rows;
  for (i64 b = first; b < last; ++b) {
    std::vector<i64> mine = by_picture[static_cast<size_t>(b)];
    if (const i64 count = std::ssize(mine); most > 0 && count > most) {
      Random random = context.random("mask rois", batch.samples[static_cast<size_t>(b)].index);
      for (i64 i = 0; i < most; ++i)
        std::swap(mine[static_cast<size_t>(i)], mine[static_cast<size_t>(random.integer(i, count - 1))]);
      mine.resize(static_cast<size_t>(most));
      std::ranges::sort(mine);
    }
    rows.insert(rows.end(), mine.begin(), mine.end());
  }
  return rows;
}

// Every query with its best class, as many as suppression leaves.
fqdet::Predictions one_class_each(const fqdet::Output& output, const Config& config) {
  fqdet::InferenceConfig inference = config.inference;
  inference.detections = config.queries;
  return fqdet::find_predictions(output, inference, fqdet::Candidates::kBestClass);
}

}  // namespace

EffSeg::EffSeg(const Config& config, Random& random)
    : config_(check_fields("effseg", config)), detector_(config, random) {
  TESSERA_CHECK(config.neck.first_level == 2, "effseg: mask heads read P2 to P5, neck.first_level is {}; make it 2",
                config.neck.first_level);
  head_ = make_head(config, config.neck.channels, random);
}

Losses EffSeg::losses(const Batch& batch, const StepContext& context) {
  // Before the forward pass: a copy to a device that is computing may make the host wait.
  const Tensor images = batch_images(batch, device());
  const ObjectMasks objects = object_masks(batch, device());
  const fqdet::GroundTruth truth = detector_.ground_truth(batch);
  const fqdet::Output output = detector_.forward(Var(images.to(training_dtype)), batch);
  fqdet::Matches matches;
  Losses losses{detector_.losses(output, truth, matches)};
  for (LossTerm& term : mask_losses(output, matches, objects, batch, context)) losses.terms.push_back(std::move(term));
  for (const double groups : normalisers(batch))  // the mean over them, as over the GPUs that they stand for
    for (LossTerm& term : losses.terms) term.value = term.value * (1 / groups);
  return losses;
}

std::vector<double> EffSeg::normalisers(const Batch& batch) const {
  if (config_.head.group == 0) return {};
  return {static_cast<double>((batch.size() + config_.head.group - 1) / config_.head.group)};
}

std::vector<LossTerm> EffSeg::mask_losses(const fqdet::Output& output, const fqdet::Matches& matches,
                                          const ObjectMasks& objects, const Batch& batch, const StepContext& context) {
  const i64 B = output.maps[0].dim(0);
  const Device device = objects.masks.device();
  const Tensor picture = ops::gather_rows(output.picture, matches.query).to_host();
  std::vector<std::vector<i64>> by_picture(static_cast<size_t>(B));  // rows of the matches
  for (i64 m = 0; m < matches.count(); ++m) by_picture[static_cast<size_t>(picture.data<i64>()[m])].push_back(m);

  const Var boxes = detector_.boxes(output);
  const i64 group = config_.head.group > 0 ? config_.head.group : B;
  std::vector<LossTerm> sums;
  for (i64 first = 0; first < B; first += group) {
    const i64 last = std::min(first + group, B);
    i64 count = 0;
    for (i64 b = first; b < last; ++b) count += std::ssize(by_picture[static_cast<size_t>(b)]);
    const std::vector<i64> chosen = drawn(by_picture, first, last, config_.head.max_train_rois, batch, context);
    std::vector<i64> image;
    for (const i64 m : chosen) image.push_back(picture.data<i64>()[m] - first);

    const Tensor rows = Tensor::from(chosen).to(device);
    const Tensor query = ops::gather_rows(matches.query, rows), object = ops::gather_rows(matches.object, rows);
    const roi_heads::Rois rois{gather_rows(boxes, query), gather_rows(output.queries, query),
                               Tensor::from(image).to(device), ops::gather_rows(objects.classes, object)};
    std::vector<LossTerm> terms = head_->losses(of_pictures(output.maps, first, last), rois,
                                                {objects.masks, object, count}, batch.padded, context);
    if (sums.empty())
      sums = std::move(terms);
    else
      for (size_t i = 0; i < sums.size(); ++i) sums[i].value = sums[i].value + terms[i].value;
  }
  return sums;
}

Detections EffSeg::detect(const Batch& batch) {
  const Inference inference(*this);
  const fqdet::Output output = detector_.forward(inference.images(batch), batch);
  const fqdet::Predictions found =
      finds_segments() && !given ? one_class_each(output, config_) : detector_.predict(output, given);
  Detections detections;
  for (i64 b = 0; b < batch.size(); ++b)
    detections.emplace_back() = finds_segments() ? segments(output, found, batch, b) : objects(output, found, batch, b);
  return detections;
}

roi_heads::Rois EffSeg::rois_of(const fqdet::Output& output, const Tensor& query, const Tensor& classes) const {
  nn::keep("stages.query", Var(query));
  return {gather_rows(detector_.boxes(output), query), gather_rows(output.queries, query),
          Tensor::zeros({query.numel()}, DType::kI64, query.device()), head_->class_specific() ? classes : Tensor()};
}

std::vector<Instance> EffSeg::objects(const fqdet::Output& output, const fqdet::Predictions& found, const Batch& batch,
                                      i64 b) {
  const auto first = found.first[static_cast<size_t>(b)], last = found.first[static_cast<size_t>(b) + 1];
  const std::vector<Tensor> host = to_host(std::vector{found.query.rows(first, last), found.classes.rows(first, last),
                                                       found.scores.rows(first, last), found.boxes.rows(first, last)});
  const Tensor &query = host[0], &classes = host[1], &scores = host[2], &boxes = host[3];
  check_found("scores", scores);
  check_found("boxes", boxes);
  // The RoIs: the predictions, or for a head that knows no classes the queries among them.
  std::vector<i64> queries(query.data<i64>(), query.data<i64>() + query.numel());
  if (!head_->class_specific()) {
    std::ranges::sort(queries);
    queries.erase(std::unique(queries.begin(), queries.end()), queries.end());
  }
  const roi_heads::Rois rois =
      rois_of(output, Tensor::from(queries).to(found.query.device()), found.classes.rows(first, last));
  const Tensor p = head_->probabilities(of_pictures(output.maps, b, b + 1), rois, batch.padded);
  const ImageSize resized = batch.size_of(b), original = batch.samples[static_cast<size_t>(b)].original;
  const roi_heads::PictureMasks masks =
      roi_heads::picture_masks(p, rois.boxes.value(), batch.padded, resized, original);

  std::vector<Instance> instances;
  for (i64 i = 0; i < query.numel(); ++i) {
    const auto box = fqdet::to_original(boxes.data<float>() + 4 * i, resized, original);
    if (!box) continue;  // beside the picture
    const i64 q = query.data<i64>()[i];
    const size_t mask =
        static_cast<size_t>(head_->class_specific() ? i : std::ranges::lower_bound(queries, q) - queries.begin());
    const double score = double{scores.data<float>()[i]};
    instances.push_back({.class_index = classes.data<i64>()[i],
                         .score = rle_area(masks.masks[mask]) > 0 ? score * masks.certainty[mask] : 0,
                         .mask = masks.masks[mask],
                         .box = *box,
                         .box_score = score,
                         .query = q - b * output.selected.dim(1)});
  }
  return instances;
}

std::vector<Instance> EffSeg::segments(const fqdet::Output& output, const fqdet::Predictions& found, const Batch& batch,
                                       i64 b) {
  const auto first = found.first[static_cast<size_t>(b)], last = found.first[static_cast<size_t>(b) + 1];
  const Tensor query = found.query.rows(first, last), classes = found.classes.rows(first, last),
               scores = found.scores.rows(first, last);
  // All are RoIs, since they compete for the cells that are refined; those that can become segments, the first ones,
  // are pasted.
  const roi_heads::Rois rois = rois_of(output, query, classes);
  const Tensor p = head_->probabilities(of_pictures(output.maps, b, b + 1), rois, batch.padded);
  const i64 sure = roi_heads::sure_predictions(scores, config_.panoptic);
  const Tensor pasted = roi_heads::paste_probabilities(p.rows(0, sure), rois.boxes.value().rows(0, sure), batch.padded);

  std::vector<i64> queries;
  const Tensor host_query = query.to_host();
  for (const i64 q : host_query.span<i64>()) queries.push_back(q - b * output.selected.dim(1));
  return roi_heads::panoptic_instances(
      roi_heads::panoptic_segments(pasted, classes.rows(0, sure), scores.rows(0, sure), config_.panoptic), queries,
      batch.size_of(b), batch.samples[static_cast<size_t>(b)].original);
}

std::vector<DependentPart> EffSeg::dependent_parts() const {
  std::vector<DependentPart> parts = detector_.dependent_parts();
  const std::string head = "heads.gvd.heads.2.";
  switch (config_.head.kind) {
    case HeadKind::kEffSeg:
      break;
    case HeadKind::kPointRend:
      parts.push_back({.names = head + "point_head.*"});
      [[fallthrough]];
    case HeadKind::kMaskRcnn:
      parts.push_back({.names = head + "mask_head.conv_logits.*", .first_class = 0});
      break;
    case HeadKind::kRefineMask:
      parts.push_back({.names = head + "mask_head.stage_instance_logits.*", .first_class = 0});
  }
  return parts;
}

void EffSeg::visit(nn::Visitor& v) {
  v.child("", detector_);
  v.child("heads.gvd.heads.2", *head_);
}

std::unique_ptr<Segmenter> make_model(const Config& config, u64 seed) {
  Random random(seed, stream_of("weights"));
  return std::make_unique<EffSeg>(config, random);
}

}  // namespace tessera::effseg
