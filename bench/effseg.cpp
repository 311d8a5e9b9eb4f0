// EffSeg with ResNet-50 and FPN: a picture from pixels to masks, the mask head alone, training steps.
//
// Weights are random, so what a case does is fixed here, for bench/peer_effseg.py as well: 60 RoIs, about as many as a
// picture of COCO gives, of given boxes; in training 40 matched queries per picture. The maps of the head alone are
// smooth, so the cells that it refines lie together, as those of an object's contour do.
#include "models/effseg/effseg.h"

#include <cmath>

#include "bench/bench.h"
#include "data/noise.h"
#include "models/batch_images.h"
#include "models/effseg/head.h"
#include "models/roi_heads/picture_masks.h"
#include "nn/working_weights.h"
#include "ops/interpolate.h"
#include "ops/precision.h"
#include "train/optimizer.h"

namespace tessera::bench {

namespace {

constexpr i64 kRois = 60, kChannels = 256;
constexpr ImageSize kPicture{800, 1333}, kOriginal{480, 800};

// Spread over the picture, sides from 32 to 512 pixels: the same as `rois` of bench/peer_effseg.py.
Tensor boxes_of(i64 count, ImageSize picture) {
  Tensor boxes = Tensor::empty({count, 4});
  const auto fraction = [](double x) { return x - std::floor(x); };
  for (i64 i = 0; i < count; ++i) {
    const double n = static_cast<double>(i + 1), side = 32 * std::exp2(4 * fraction(n * 0.6180340));
    const double x = fraction(n * 0.7548777) * (static_cast<double>(picture.width) - side);
    const double y = fraction(n * 0.5698403) * (static_cast<double>(picture.height) - side);
    float* box = boxes.data<float>() + 4 * i;
    for (const double corner : {x, y, x + side, y + side}) *box++ = static_cast<float>(corner);
  }
  return boxes;
}

roi_heads::Rois rois_of(const Tensor& queries) {
  const Tensor image = Tensor::zeros({queries.dim(0)}, DType::kI64, device());
  return {Var(boxes_of(queries.dim(0), kPicture).to(device())), Var(queries), image, image};
}

std::vector<Var> smooth_maps() {
  std::vector<Var> maps;
  for (i64 stride = 4; stride <= 32; stride *= 2) {
    const i64 height = (kPicture.height + stride - 1) / stride, width = (kPicture.width + stride - 1) / stride;
    const i64 coarse = std::max<i64>(1, 32 / stride);
    const Tensor noise = random_tensor({1, height / coarse, width / coarse, kChannels});
    maps.emplace_back(ops::interpolate(noise, height, width, ops::Interpolation::kBilinear));
  }
  return maps;
}

Call head_forward(const effseg::HeadConfig& config, i64 count) {
  Random random(1);
  const auto head = std::make_shared<effseg::EffSegHead>(config, kChannels, random);
  head->to(device());
  nn::fuse_for_inference(*head);
  return [head, maps = smooth_maps(), rois = rois_of(random_tensor({count, kChannels}))] {
    head->probabilities(maps, rois, kPicture);
  };
}

std::shared_ptr<effseg::EffSeg> effseg_r50() {
  Random random(1);
  effseg::Config config;
  config.neck.first_level = 2;
  const auto model = std::make_shared<effseg::EffSeg>(config, random);
  model->to(device());
  return model;
}

Call whole_picture() {
  const std::shared_ptr<effseg::EffSeg> model = effseg_r50();
  nn::fuse_for_inference(*model);
  return [model, batch = make_batch(noise_samples(1, kPicture, 5, 80), {}, 1)] {
    const NoGrad no_grad;
    const fqdet::Output output = model->detector().forward(Var(batch_images(batch, device())), batch);
    model->detector().predict(output);
    const roi_heads::Rois rois = rois_of(output.queries.value().rows(0, kRois));
    const Tensor p = model->head().probabilities(output.maps, rois, kPicture);
    roi_heads::picture_masks(p, rois.boxes.value(), kPicture, kPicture, kOriginal);
  };
}

Call training_step() {
  const std::shared_ptr<effseg::EffSeg> model = effseg_r50();
  model->train();
  const auto optimizer = std::make_shared<Optimizer>(OptimizerConfig{}, *model);
  constexpr i64 kPictures = 2, kObjects = 5, kMatched = 40, kQueries = 300;
  std::vector<i64> query, object;
  for (i64 b = 0; b < kPictures; ++b)
    for (i64 i = 0; i < kMatched; ++i) {
      query.push_back(b * kQueries + i);
      object.push_back(b * kObjects + i % kObjects);
    }
  const fqdet::Matches matches{Tensor::from(query).to(device()), Tensor::from(object).to(device())};
  const auto weights = std::make_shared<nn::WorkingWeights>();
  return [=, batch = make_batch(noise_samples(kPictures, {400, 600}, kObjects, 80), {}, 1)] {
    const ArithmeticScope as_in_training({.precision = precision(), .winograd = true, .tune = arithmetic().tune});
    optimizer->zero_grad();
    nn::WorkingWeights::Pass pass(*weights);
    const ObjectMasks objects = object_masks(batch, device());
    const fqdet::GroundTruth truth = model->detector().ground_truth(batch);
    const fqdet::Output output = model->detector().forward(Var(batch_images(batch, device())), batch);
    fqdet::Matches found;
    Losses losses{model->detector().losses(output, truth, found)};
    for (LossTerm& term : model->mask_losses(output, matches, objects, batch, {}))
      losses.terms.push_back(std::move(term));
    losses.total().backward();
    pass.finish();
    optimizer->step(1);
  };
}

}  // namespace

void effseg_cases(Cases& cases) {
  const auto add = [&](const char* group, const std::string& name, const Json& peer,
                       const std::function<Call()>& make) {
    cases.push_back({.group = group, .name = name, .peer = peer, .make = make, .counted = true});
  };
  const char* const whole = "effseg_r50_fpn, batch 1, 800 x 1333";
  add(whole, "60 masks", {{"op", "effseg"}}, whole_picture);
  add(whole, "60 masks, beside torchvision's Mask R-CNN R50-FPN", {{"op", "mask_rcnn"}}, whole_picture);
  const effseg::HeadConfig dense{.processing = effseg::Processing::kDenseSfm, .project_maps = true};
  const char* const head = "effseg's mask head, 800 x 1333";
  for (const i64 count : {i64{10}, kRois}) {
    add(head, fmt::format("{} RoIs", count), {{"op", "effseg_head"}, {"count", count}},
        [=] { return head_forward({}, count); });
    add(head, fmt::format("{} RoIs, dense", count), {{"op", "effseg_head"}, {"count", count}, {"dense", true}},
        [=] { return head_forward(dense, count); });
  }
  add("effseg_r50_fpn, batch 2, 400 x 600", "training step, AdamW", {{"op", "effseg_step"}}, training_step);
}

}  // namespace tessera::bench
