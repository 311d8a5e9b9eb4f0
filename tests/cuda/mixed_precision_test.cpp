// Training with bf16 activations: what is bf16, what stays f32, and that the network learns the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "ops/pointwise.h"
#include "ops/softmax.h"
#include "tensor/file.h"
#include "tests/cuda/other_device.h"
#include "tests/cuda/training_job.h"
#include "tests/support/temporary_folder.h"

namespace tessera {

using sparseinst::SparseInst;

namespace {

constexpr double kBF16 = 0x1p-8;

struct Step {
  double loss = 0;
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
  Var total;
  for (const LossTerm& term : model->losses(test::rectangles({2, 0, 3}), {}).terms) {
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

TEST_CASE("mixed precision: activations are bf16 all through the network") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const std::unique_ptr<SparseInst> model = test::model_on(*device);
  const Tensor images = batch_images(test::rectangles({2}), *device);
  const sparseinst::Output half = model->forward(Var(images.to(DType::kBF16))), full = model->forward(Var(images));
  for (const auto& [narrow, wide] : {std::pair{half.logits, full.logits}, std::pair{half.masks, full.masks},
                                     std::pair{half.objectness, full.objectness}}) {
    CHECK(narrow.value().dtype() == DType::kBF16);
    const Tensor a = narrow.value().to(DType::kF32).to_host(), b = wide.value().to_host();
    CHECK(norm(ops::sub(a, b)) < 4 * kBF16 * norm(b));  // 0.6 to 2.3
    CHECK(norm(ops::sub(a, b)) > 0);
  }
}

// This network's gradients are sensitive: its maps are small, and batch normalisation takes differences of sums over
// few values. How much so is measured: rounding the weights alone, in f32 arithmetic, moves the worst of them by a
// fifth.
TEST_CASE("mixed precision: weights get f32 gradients, about as far off as rounding the weights alone puts them") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Step mixed = first_step(*device, DType::kBF16), full = first_step(*device, DType::kF32);
  const Step moved = first_step(*device, DType::kF32, true);
  const auto distance = [&](const Step& step, size_t i) {
    const Tensor& exact = full.gradients[i].second;
    return norm(ops::sub(step.gradients[i].second, exact)) / norm(exact);
  };
  double most = 0;
  for (size_t i = 0; i < full.gradients.size(); ++i) most = std::max(most, distance(moved, i));
  CHECK(most < 0.3);  // 0.22 on the emulated device
  CHECK(mixed.loss == doctest::Approx(full.loss).epsilon(kBF16));
  CHECK(mixed.loss != full.loss);  // else nothing was bf16
  REQUIRE(mixed.gradients.size() == full.gradients.size());
  for (size_t i = 0; i < full.gradients.size(); ++i) {
    const auto& [name, gradient] = mixed.gradients[i];
    CAPTURE(name);
    REQUIRE(gradient.dtype() == DType::kF32);
    CHECK(std::isfinite(norm(gradient)));
    CHECK(norm(gradient) > 0);
    CHECK(distance(mixed, i) < 2 * most);
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
