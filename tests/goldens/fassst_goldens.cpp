#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/fassst/boxes.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"
#include "tests/goldens/fassst_golden.h"
#include "tests/goldens/fill.h"
#include "train/optimizer.h"

namespace tessera::goldens {

using namespace fassst;

namespace {

constexpr double kLosses = 1e-5, kDescent = 2e-2;
// Single ReLUs near their kink turn over in f32; the attention module's are none near theirs.
constexpr double kGradient = 1e-3, kGradientNorm = 5e-2;

Tensor one_minus(const Tensor& x) {
  return ops::add_scalar(ops::mul_scalar(x, -1), 1);
}

OptimizerConfig descent() {
  OptimizerConfig config{.kind = OptimizerKind::kSgd, .lr = 0.005, .weight_decay = 5e-4, .clip_norm = 10};
  config.groups = {{.match = {"bias", "bn.weight", "features.0.1.weight", "features.1.conv.2.weight",
                              "backbone.features.*.conv.?.1.weight", "backbone.features.*.conv.3.weight"},
                    .lr_factor = {},
                    .weight_decay = 0.0,
                    .frozen = {}},
                   {.match = {"backbone.*"}, .lr_factor = 0.1, .weight_decay = {}, .frozen = {}}};
  return config;
}

}  // namespace

Var FassstGolden::Step::total() const {
  return Losses{cells}.total() + mask * Config().loss.mask_weight;
}

Config FassstGolden::config() const {
  Config config;
  config.num_classes = number("classes");
  config.input = {number("size"), number("size")};
  config.backbone.norm = nn::Norm::kBatch;
  config.attention.grid = {number("grid"), number("grid")};
  config.attention.widths = numbers("iam_widths");
  config.mask.channels = number("channels");
  config.mask.side = number("roi_side");
  return config;
}

std::unique_ptr<Fassst> FassstGolden::network(const Config& config) {
  Random random(0);
  auto net = std::make_unique<Fassst>(config, random);
  generate(*net);
  return net;
}

Var FassstGolden::images() const {
  const i64 S = number("size");
  const Tensor values = fill(text("prefix_inputs") + "images", {number("batch"), 3, S, S}, -2, 2);
  return Var(nn::to_ours(values, nn::Layout::kConvOIHW).to(device()), true);
}

Batch FassstGolden::batch() {
  const i64 S = number("size");
  const Tensor &boxes = stored("targets.boxes"), &bits = stored("targets.masks");
  const std::span<const i64> image = stored("targets.image").span<i64>(), label = stored("targets.class").span<i64>();
  Batch batch;
  batch.padded = {S, S};
  for (i64 b = 0; b < number("batch"); ++b) {
    std::vector<i64> mine;
    for (i64 t = 0; t < std::ssize(image); ++t)
      if (image[static_cast<size_t>(t)] == b) mine.push_back(t);
    const i64 K = std::ssize(mine);
    Sample sample;
    sample.image = Tensor::zeros({S, S, 3}, DType::kU8);
    sample.targets = {Tensor::zeros({K, S, S}, DType::kU8), Tensor::zeros({K}, DType::kI64), Tensor::zeros({K, 4}),
                      mine};
    for (i64 k = 0; k < K; ++k) {
      const i64 t = mine[static_cast<size_t>(k)];
      const float* box = boxes.data<float>() + 4 * t;
      for (const int e : {0, 1, 2, 3}) sample.targets.boxes.data<float>()[4 * k + e] = box[e ^ 1];
      sample.targets.classes.data<i64>()[k] = label[static_cast<size_t>(t)];
      for (i64 p = 0; p < S * S; ++p)
        sample.targets.masks.data<u8>()[k * S * S + p] = bits.data<u8>()[(t * S * S + p) / 8] >> (7 - p % 8) & 1;
    }
    batch.samples.push_back(sample);
  }
  return batch;
}

void FassstGolden::compare_norm(const std::string& key, const Tensor& got, double tolerance) {
  const Tensor values = as_stored(key, got);
  if (!values) return;
  const Tensor& want = stored(key);
  double difference = 0, whole = 0;
  for (i64 i = 0; i < want.numel(); ++i) {
    difference += std::pow(static_cast<double>(values.data<float>()[i]) - double{want.data<float>()[i]}, 2);
    whole += std::pow(double{want.data<float>()[i]}, 2);
  }
  report(key, difference <= tolerance * tolerance * whole,
         fmt::format("the relative distance is {:.1e}", std::sqrt(difference / whole)));
}

void FassstGolden::compare_flags(const std::string& key, const Tensor& got) {
  const Tensor flags = got.to_host().to(DType::kU8);
  const Tensor& want = stored(key);
  report(key, flags.shape() == want.shape() && std::ranges::equal(flags.span<u8>(), want.span<u8>()), "must be equal");
}

// What the cells learn, and the masks of the stored regions.
void FassstGolden::check_targets() {
  batch_ = batch();
  const i64 S = batch_.padded.height;
  assignment_ = assign(batch_, {number("grid"), number("grid")});
  compare_ids("positives.cell", Tensor::from(assignment_.cell));
  compare_ids("positives.object", Tensor::from(assignment_.object));
  std::vector<i64> cell(assignment_.boxes.size(), kNoCell);
  const i64 cells = number("grid") * number("grid");
  for (size_t n = 0; n < assignment_.cell.size(); ++n)
    cell[static_cast<size_t>(assignment_.object[n])] = assignment_.cell[n] % cells;
  compare_ids("targets.cell", Tensor::from(cell));
  targets_ = cell_targets(assignment_, batch_.size(), config_, device());

  regions_ = stored("rois").to(device());
  const Tensor of_picture = ops::slice(regions_, 1, 1, 5);
  const Tensor object = Tensor::from(assignment_.object).to(device()).to(DType::kF32);
  std::vector<Tensor> masks;
  for (const Sample& sample : batch_.samples)
    if (sample.targets.count() > 0) masks.push_back(sample.targets.masks.to(DType::kF32));
  const Tensor all = ops::concat(masks, 0).reshape({std::ssize(assignment_.boxes), S, S, 1}).to(device());
  wanted_ =
      mask_targets(all, ops::concat({object.reshape({object.numel(), 1}), of_picture}, 1), 2 * number("roi_side"));
  compare_flags("mask_targets", wanted_);
}

FassstGolden::Step FassstGolden::step(Fassst& net, const Var& images) const {
  Step step;
  step.maps = net.forward(images);
  step.raw = Var(step.maps.raw.value(), true);
  step.boxes = decode(step.raw, BoxForm::kCentre);
  step.counted = counted_cells(cut_to_frame(step.boxes.value()), targets_);
  step.cells = cell_losses(step.raw, step.boxes, step.counted, targets_, config_);
  step.logits = net.masks(step.maps, regions_);
  step.mask = mask_loss(step.logits, wanted_);
  const LossConfig& weight = config_.loss;
  const double mask = step.mask.value().item(), object = step.cells[0].value.value().item(),
               box = step.cells[1].value.value().item(), label = step.cells[2].value.value().item();
  step.losses = Tensor::from(std::vector<float>{
      static_cast<float>(mask), static_cast<float>((object + box) / weight.location_weight),
      static_cast<float>(label / weight.class_weight), static_cast<float>(step.total().value().item())});
  return step;
}

void FassstGolden::check_training() {
  const auto net = network(config_);
  const Var images = this->images();
  nn::Intermediates seen;
  const Step now = step(*net, images);
  for (int i = 1; i <= 8; ++i) compare_map(fmt::format("train.row{}", i), seen.at(fmt::format("c{}", i)));
  for (size_t i = 0; i < 3; ++i) {
    compare_map(fmt::format("train.p{}", i + 3), now.maps.pyramid[i].value());
    compare_map(fmt::format("train.r{}", i + 1), seen.at(fmt::format("r{}", i + 1)));
  }
  compare_map("train.r", seen.at("r"));
  const i64 B = batch_.size(), g = number("grid");
  compare("train.raw", now.raw.value());
  compare("train.boxes", now.boxes.value().reshape({B, g, g, 4}));
  compare_flags("train.ignored", one_minus(now.counted));
  compare("train.mask_logits", now.logits.value());
  compare("train.losses", now.losses, kLosses);
  const double location = config_.loss.location_weight;
  compare("train.loc_terms",
          Tensor::from(std::vector<float>{static_cast<float>(now.cells[0].value.value().item() / location),
                                          static_cast<float>(now.cells[1].value.value().item() / location)}),
          kLosses);
  check_gradients(*net, images, now);
  for (const nn::StateEntry& entry : nn::state(*net))
    if (stores("train.updated." + entry.name)) compare("train.updated." + entry.name, entry.tensor);

  // The literal reading of the localisation loss, alone.
  Config focal = config_;
  focal.loss = {.location_weight = 1, .boxes = BoxLoss::kFocal};
  const Var raw(now.raw.value(), true);
  const std::vector<LossTerm> terms = cell_losses(raw, Var(), now.counted, targets_, focal);
  const Var both = terms[0].value + terms[1].value;
  compare("train.loc_focal",
          Tensor::from(std::vector<float>{static_cast<float>(both.value().item()),
                                          static_cast<float>(terms[1].value.value().item())}),
          kLosses);
  both.backward();
  compare_gradient("grad_focal.raw", raw);
}

void FassstGolden::check_gradients(Fassst& net, const Var& images, const Step& step) {
  Losses{step.cells}.total().backward();
  compare_gradient("grad.raw", step.raw);
  (sum(step.maps.raw * Var(step.raw.grad())) + step.mask * config_.loss.mask_weight).backward();
  const auto theirs = [](const Tensor& x, nn::Layout layout) { return nn::to_theirs(x.to_host(), layout); };
  compare_norm("grad.images", theirs(images.grad(), nn::Layout::kConvOIHW), kGradientNorm);
  double largest = 0;
  for (const nn::StateEntry& entry : nn::state(net)) {
    if (!entry.parameter) continue;
    const Tensor gradient = theirs(entry.parameter->grad(), entry.layout);
    for (const float g : gradient.span<float>()) largest = std::max(largest, std::abs(double{g}));
  }
  for (const nn::StateEntry& entry : nn::state(net)) {
    if (!entry.parameter) continue;
    const std::string key = "grad." + entry.name;
    const Tensor gradient = theirs(entry.parameter->grad(), entry.layout);
    if (text("zero_gradients").find("\"" + entry.name + "\"") != std::string::npos) {
      double most = 0;
      for (const float g : gradient.span<float>()) most = std::max(most, std::abs(double{g}));
      report(key, most < 1e-4 * largest, "is not zero");
    } else if (entry.name.starts_with("iam.")) {
      compare(key, gradient, kGradient);
    } else {
      compare_norm(key, gradient, kGradientNorm);
    }
  }
}

void FassstGolden::check_descent() {
  const auto net = network(config_);
  const Var images(this->images().value());
  Optimizer optimizer(descent(), *net);
  std::vector<Tensor> losses;
  for (int i = 0; i < 4; ++i) {
    const Step now = step(*net, images);
    losses.push_back(now.losses.reshape({1, 4}));
    if (i == 3) break;
    Losses{now.cells}.total().backward();
    (sum(now.maps.raw * Var(now.raw.grad())) + now.mask * config_.loss.mask_weight).backward();
    const auto [norm, scale] = optimizer.clip();
    const double want = real(fmt::format("sgd.norm{}", i));
    report(fmt::format("sgd.norm{}", i), std::abs(norm.item() - want) < kDescent * want,
           fmt::format("is {}, not {}", norm.item(), want));
    optimizer.step(1, scale);
    optimizer.zero_grad();
  }
  compare("sgd.losses", ops::concat(losses, 0), kDescent);
  for (const nn::StateEntry& entry : nn::state(*net))
    if (stores("sgd.param_after." + entry.name))
      compare("sgd.param_after." + entry.name, nn::to_theirs(entry.tensor.to_host(), entry.layout), kDescent);
}

int FassstGolden::run() {
  config_ = config();
  check_targets();
  check_training();
  check_descent();
  check_inference();
  check_assignment();
  check_attention("rect", {4, 3});
  check_attention("resample", {5, 3});
  return finish();
}

namespace {

const bool kAdded = add_network({.name = "FASSST",
                                 .recognises = [](const SafeTensors& file) { return file.contains("train.loc_focal"); },
                                 .check = check_with<FassstGolden>});

}  // namespace

}  // namespace tessera::goldens
