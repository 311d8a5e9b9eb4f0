// bf16 activations: what is bf16, what stays f32, that the network learns the same, and finds the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "models/sparseinst/matcher.h"
#include "nn/intermediates.h"
#include "ops/pointwise.h"
#include "ops/softmax.h"
#include "tensor/device_counts.h"
#include "tensor/file.h"
#include "tests/cuda/other_device.h"
#include "tests/cuda/training_job.h"
#include "tests/models/tiny_effseg.h"
#include "tests/models/tiny_fassst.h"
#include "tests/models/tiny_fqdet.h"
#include "tests/support/temporary_folder.h"

namespace tessera {

using sparseinst::SparseInst;

namespace {

constexpr double kBF16 = 0x1p-8;

struct Step {
  double loss = 0;
  std::vector<i64> matched;                               // queries, then objects
  std::vector<std::pair<std::string, Tensor>> gradients;  // on the CPU
};

// round_weights: to bf16, once, before the step.
Step first_step(Device device, DType dtype, bool round_weights = false) {
  const std::unique_ptr<SparseInst> model = test::model_on(device);
  model->training_dtype = dtype;
  if (round_weights)
    for (auto& [name, parameter] : nn::named_parameters(*model))
      parameter->value().copy_from(parameter->value().to(DType::kBF16).to(DType::kF32));
  Step step;
  const Batch batch = test::rectangles({1, 2, 3});
  {
    const NoGrad no_grad;
    const sparseinst::Output output = model->forward(Var(batch_images(batch, device).to(dtype)));
    const sparseinst::MaskTargets targets =
        sparseinst::make_targets(batch, output.masks.dim(2), output.masks.dim(3), model->config().num_classes, device);
    const sparseinst::Matches matches = sparseinst::match(output, targets, model->config().matcher);
    for (const Tensor& part : {matches.queries.to_host(), matches.targets.to_host()})
      step.matched.insert(step.matched.end(), part.span<i64>().begin(), part.span<i64>().end());
  }
  Var total;
  for (const LossTerm& term : model->losses(batch, {}).terms) {
    CHECK(term.value.value().dtype() == DType::kF32);
    total = total ? total + term.value : term.value;
  }
  total.backward();
  step.loss = total.value().item();
  for (const auto& [name, parameter] : nn::named_parameters(*model))
    if (parameter->requires_grad()) step.gradients.emplace_back(name, parameter->grad().to_host());
  return step;
}

double norm(const Tensor& x) {
  double sum = 0;
  for (const float value : x.span<float>()) sum += double{value} * double{value};
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("bf16: activations are bf16 all through the network, logits f32, in training and in inference") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const std::unique_ptr<SparseInst> model = test::model_on(*device);
  model->eval();
  const Tensor images = batch_images(test::rectangles({2}), *device);
  const NoGrad no_grad;
  const sparseinst::Output full = model->forward(Var(images));
  for (const bool fused : {false, true}) {
    CAPTURE(fused);
    if (fused) nn::fuse_for_inference(*model, {.dtype = DType::kBF16});
    const nn::Intermediates kept;
    const sparseinst::Output half = model->forward(Var(images.to(DType::kBF16)));
    for (const char* name : {"c3", "c5", "encoder", "inst_features_map", "iam_logits"})
      CHECK(kept.at(name).dtype() == DType::kBF16);
    for (const auto& [narrow, wide] : {std::pair{half.logits, full.logits}, std::pair{half.masks, full.masks},
                                       std::pair{half.objectness, full.objectness}}) {
      CHECK(narrow.value().dtype() == DType::kF32);
      const Tensor a = narrow.value().to_host(), b = wide.value().to_host();
      CHECK(norm(ops::sub(a, b)) < 4 * kBF16 * norm(b));
      CHECK(norm(ops::sub(a, b)) > 0);
    }
  }
}

TEST_CASE("bf16: a model fused for it finds what it finds in f32, with weights made once, and with a graph the same") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const auto found = [&](const nn::InferenceOptions& options) {
    const std::unique_ptr<SparseInst> model = test::model_on(*device);
    nn::fuse_for_inference(*model, options);
    std::vector<i64> launches;
    Detections last;
    for (int pass = 0; pass < 3; ++pass) {
      const i64 before = device_counts().launches;
      last = model->detect(test::rectangles({2, 1}));
      launches.push_back(device_counts().launches - before);
    }
    if (!options.graph) CHECK(launches[2] == launches[1]);
    if (options.dtype == DType::kBF16 && !options.graph) CHECK(launches[1] < launches[0]);
    return last;
  };
  const Detections full = found({}), half = found({.dtype = DType::kBF16}),
                   replayed = found({.dtype = DType::kBF16, .graph = true});
  REQUIRE(full[0].size() > 1);
  for (size_t n : {0, 1}) {
    REQUIRE(half[n].size() == full[n].size());
    REQUIRE(replayed[n].size() == half[n].size());
    for (size_t i = 0; i < half[n].size(); ++i) {
      CHECK(half[n][i].class_index == full[n][i].class_index);
      CHECK(half[n][i].score == doctest::Approx(full[n][i].score).epsilon(4 * kBF16));
      CHECK(replayed[n][i].score == half[n][i].score);
      CHECK(replayed[n][i].mask == half[n][i].mask);
    }
  }
}

TEST_CASE("bf16: every family finds objects in it, with the scores of f32 but for its rounding") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const auto check = [&](const auto& make) {
    const auto found = [&](DType dtype) {
      const auto model = make();
      model->to(*device);
      nn::fuse_for_inference(*model, {.dtype = dtype});
      return model->detect(test::rectangles({2})).at(0);
    };
    const std::vector<Instance> full = found(DType::kF32), half = found(DType::kBF16);
    REQUIRE(full.size() > 1);
    REQUIRE(half.size() == full.size());
    const auto best = [](const std::vector<Instance>& instances) {
      double score = 0;
      for (const Instance& instance : instances) score = std::max(score, instance.box_score);
      return score;
    };
    CHECK(best(half) == doctest::Approx(best(full)).epsilon(8 * kBF16));
    CHECK(best(half) != best(full));
  };
  fassst::Config fassst = test::tiny_fassst_config();
  fassst.inference = {.score_threshold = 0, .detections = 5};
  check([&] { return test::tiny_fassst(fassst); });
  check([&] { return test::tiny_fqdet(test::tiny_fqdet_config()); });
  check([&] { return test::tiny_effseg(test::tiny_effseg_config()); });
}

TEST_CASE("bf16: inference on the CPU, which has no kernels for it, is an error that names the ways out") {
  CHECK_THROWS_WITH_AS(nn::fuse_for_inference(*test::model_on({}), {.dtype = DType::kBF16}),
                       doctest::Contains("--device cuda"), Error);
}

// This network's gradients are sensitive: its maps are small, and batch normalisation takes differences of sums over
// few values. How much so is measured: rounding the weights alone, in f32 arithmetic, moves the worst of them by a
// fifth.
TEST_CASE("mixed precision: weights get f32 gradients, about as far off as rounding the weights alone puts them") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Step mixed = first_step(*device, DType::kBF16), full = first_step(*device, DType::kF32);
  const Step moved = first_step(*device, DType::kF32, true);
  const auto distance = [&](const Step& step) {  // of all gradients together
    double apart = 0, size = 0;
    for (size_t i = 0; i < full.gradients.size(); ++i) {
      const Tensor& exact = full.gradients[i].second;
      apart = std::hypot(apart, norm(ops::sub(step.gradients[i].second, exact)));
      size = std::hypot(size, norm(exact));
    }
    return apart / size;
  };
  CHECK(distance(mixed) < 2 * distance(moved));
  REQUIRE(mixed.matched ==
          full.matched);  // two queries that suit an object equally well: the gradients would be others
  CHECK(mixed.loss == doctest::Approx(full.loss).epsilon(kBF16));
  CHECK(mixed.loss != full.loss);  // else nothing was bf16
  REQUIRE(mixed.gradients.size() == full.gradients.size());
  for (size_t i = 0; i < full.gradients.size(); ++i) {
    const auto& [name, gradient] = mixed.gradients[i];
    CAPTURE(name);
    REQUIRE(gradient.dtype() == DType::kF32);
    CHECK(std::isfinite(norm(gradient)));
    CHECK(norm(gradient) > 0);
  }
}

TEST_CASE("mixed precision: the checkpoint of a resumed run equals that of an uninterrupted one, in f32") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const test::TemporaryFolder whole, halves;
  Job job = test::make_job(whole.path());
  job.config.training.mixed_precision = true;
  CHECK(train(*test::model_on(*device), job) == 0);
  job.folder = halves.path();
  job.config.training.steps = 2;
  CHECK(train(*test::model_on(*device), job) == 0);
  job.config.training.steps = 4;
  job.resume = true;
  const std::unique_ptr<SparseInst> model = test::model_on(*device);
  CHECK(train(*model, job) == 0);
  CHECK(model->training_dtype == DType::kBF16);
  for (const auto& [name, parameter] : nn::named_parameters(*model)) CHECK(parameter->value().dtype() == DType::kF32);
  CHECK(read_file(checkpoint_path(whole.path(), 4)) == read_file(checkpoint_path(halves.path(), 4)));
}

TEST_CASE("mixed precision: the CPU, which has no bf16 kernels, is an error that names the ways out") {
  const test::TemporaryFolder folder;
  Job job = test::make_job(folder.path());
  job.config.training.mixed_precision = true;
  CHECK_THROWS_WITH_AS(train(*test::model_on({}), job), doctest::Contains("--device cuda"), Error);
}

TEST_CASE("mixed precision: an operator without a bf16 kernel says so, naming itself and the element types") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = Tensor::full({2, 3}, 1, DType::kBF16);
  CHECK_THROWS_WITH_AS(ops::relu(x), doctest::Contains("relu: dtype bf16 is not supported, use f32 or f64"), Error);
  CHECK_THROWS_WITH_AS(ops::softmax(x.to(*device), 1), doctest::Contains("softmax: dtype bf16 is not supported"),
                       Error);
  const Tensor wide = Tensor::full({2, 3}, 1, DType::kF64).to(*device);
  CHECK_THROWS_WITH_AS(ops::relu(wide), doctest::Contains("relu: dtype f64 is not supported on"), Error);
}

}  // namespace tessera
