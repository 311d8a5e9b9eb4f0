// A whole network on the other device of this build, the emulated one or a GPU: trained, saved, moved and resumed.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "nn/working_weights.h"
#include "tensor/device_counts.h"
#include "tensor/file.h"
#include "tests/cuda/other_device.h"
#include "tests/cuda/training_job.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera {

using sparseinst::SparseInst;
using test::kNearCpu, test::make_job, test::model_on, test::other_device, test::Rectangles;

namespace {

// The losses of every step, term by term.
std::vector<std::vector<double>> train_steps(Device device, int steps) {
  const std::unique_ptr<SparseInst> model = model_on(device);
  Optimizer optimizer({.kind = OptimizerKind::kSgd, .lr = 0.01, .clip_norm = 1}, *model);
  const Batch batch = test::rectangles({2, 0, 3});
  std::vector<std::vector<double>> losses;
  for (int step = 0; step < steps; ++step) {
    const std::vector<LossTerm> terms = model->losses(batch, {}).terms;
    Var total = terms[0].value;
    for (size_t i = 1; i < terms.size(); ++i) total = total + terms[i].value;
    total.backward();
    optimizer.step(1, optimizer.clip().scale);
    optimizer.zero_grad();
    losses.emplace_back();
    for (const LossTerm& term : terms) losses.back().push_back(term.value.value().item());
  }
  return losses;
}

Tensor logits_of(const std::filesystem::path& checkpoint, Device device) {
  const std::unique_ptr<SparseInst> model = test::tiny_model();
  model->to(device);
  Checkpoint::open(checkpoint).restore_weights(*model);
  model->eval();
  const NoGrad no_grad;
  const Batch batch = test::rectangles({2});
  return model->forward(Var(batch_images(batch, device))).masks.value().to_host();
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (i64 i = 0; i < a.numel(); ++i)
    largest = std::max(largest, std::abs(double{a.data<float>()[i]} - double{b.data<float>()[i]}));
  return largest;
}

}  // namespace

TEST_CASE("device: a SparseInst trains on another device with the losses that it has on the CPU") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  const auto here = train_steps({}, 3), there = train_steps(*other, 3);
  for (size_t step = 0; step < here.size(); ++step)
    for (size_t term = 0; term < here[step].size(); ++term) {
      CAPTURE(step);
      CAPTURE(term);
      CHECK(there[step][term] == doctest::Approx(here[step][term]).epsilon(kNearCpu));
    }
}

TEST_CASE("device: a training step waits for the device once") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  struct Watching : Rectangles {  // a step begins by loading its pictures
    Sample load(i64 epoch, i64 index) const override {
      waits.push_back(device_counts().waits);
      return Rectangles::load(epoch, index);
    }
    mutable std::vector<i64> waits;
  };
  for (const i64 accumulate : {1, 2}) {
    const test::TemporaryFolder folder;
    Job job = make_job(folder.path(), 6);
    job.config.training.checkpoint_every = 100;
    job.config.training.accumulate = accumulate;
    const auto watching = std::make_shared<Watching>();
    job.data = watching;
    CHECK(train(*model_on(*other), job) == 0);
    const size_t each = static_cast<size_t>(2 * accumulate);  // pictures of a step
    REQUIRE(watching->waits.size() == 6 * each);
    for (size_t k = 0; k < watching->waits.size(); ++k)
      CHECK(watching->waits[k] - watching->waits[0] == static_cast<i64>(k / each));
  }
}

// Casts, folded normalisations and their gradients are of all parameters at once (nn/working_weights.h).
TEST_CASE("device: a training step launches little beside its network's operators, in mixed precision as well") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  sparseinst::Config config = test::tiny_config();
  config.backbone.kind = BackboneKind::kResNet18;
  config.backbone.norm = nn::Norm::kFrozenBatch;
  const Batch batch = test::rectangles({2, 1});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const std::unique_ptr<SparseInst> model = test::tiny_model(config);
    model->to(*other);
    model->training_dtype = dtype;
    nn::WorkingWeights weights;
    i64 launches = 0;
    for (int step = 0; step < 2; ++step) {
      const i64 before = device_counts().launches;
      nn::WorkingWeights::Pass pass(weights);
      model->losses(batch, {}).total().backward();
      pass.finish();
      launches = device_counts().launches - before;
    }
    CHECK(launches <= 380);
  }
}

TEST_CASE("device: what is not finite stops a run before the weights change, on every device alike") {
  std::vector<Device> devices{{}};
  if (const std::optional<Device> other = other_device()) devices.push_back(*other);
  struct Fault {
    const char *parameter, *message;
  };
  for (const Device device : devices)
    for (const Fault& fault :
         {Fault{"decoder.mask_branch.projection.bias", "pred_masks of rectangles"},
          Fault{"decoder.inst_branch.cls_score.bias", "pred_logits of rectangles"},
          Fault{"decoder.inst_branch.objectness.bias", "loss_objectness is not finite (loss_ce "}}) {
      CAPTURE(device.str());
      CAPTURE(fault.parameter);
      const test::TemporaryFolder folder;
      const std::unique_ptr<SparseInst> model = model_on(device);
      std::vector<std::pair<Tensor, Tensor>> before;  // and after
      bool found = false;
      for (auto& [name, parameter] : nn::named_parameters(*model)) {
        if (name == fault.parameter) parameter->value().fill(NAN), found = true;
        before.emplace_back(parameter->value().to_host().clone(), parameter->value());
      }
      REQUIRE(found);
      CHECK_ERROR(train(*model, make_job(folder.path())), fault.message);
      CHECK_ERROR(train(*model, make_job(folder.path())), "step 1, images rectangles");
      CHECK_ERROR(train(*model, make_job(folder.path())), "; the weights were not updated");
      for (const auto& [was, is] : before) CHECK(std::memcmp(was.raw(), is.to_host().raw(), was.bytes()) == 0);
    }
}

TEST_CASE("device: a checkpoint that was trained on either device predicts the same on both") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  for (const Device trained_on : {Device{}, *other}) {
    CAPTURE(trained_on.str());
    const test::TemporaryFolder folder;
    CHECK(train(*model_on(trained_on), make_job(folder.path(), 2)) == 0);
    const std::filesystem::path checkpoint = checkpoint_path(folder.path(), 2);
    CHECK(largest_difference(logits_of(checkpoint, {}), logits_of(checkpoint, *other)) < kNearCpu);
  }
}

// The originals are larger than the pictures, and smaller.
TEST_CASE("device: a network on another device detects what it detects on the CPU") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  Batch batch = test::rectangles({2, 0, 3});
  batch.samples[0].original = {100, 75};
  batch.samples[1].original = {33, 40};
  sparseinst::Config config = test::tiny_config();
  config.inference.score_threshold = 0;
  config.inference.mask_threshold = 0.3;  // about where the masks of an untrained network are
  for (const bool maskness : {true, false}) {
    config.inference.maskness = maskness;
    const auto detect_on = [&](Device device) {
      const std::unique_ptr<SparseInst> model = test::tiny_model(config);
      model->to(device);
      model->eval();
      return model->detect(batch);
    };
    const auto here = detect_on({}), there = detect_on(*other);
    REQUIRE(there.size() == 3);
    i64 runs = 0;
    for (size_t n = 0; n < 3; ++n) {
      REQUIRE(there[n].size() == here[n].size());
      for (size_t i = 0; i < here[n].size(); ++i) {
        const Instance &a = here[n][i], &b = there[n][i];
        CHECK(a.query == b.query);
        CHECK(a.class_index == b.class_index);
        CHECK(a.score == doctest::Approx(b.score).epsilon(kNearCpu));
        CHECK(a.mask.height == batch.samples[n].original.height);
        // A pixel at the threshold may fall on either side: the logits are rounded differently.
        const i64 differ = rle_area(a.mask) + rle_area(b.mask) - 2 * rle_common_area(a.mask, b.mask);
        CHECK(differ <= a.mask.height * a.mask.width / 1000);
        runs += std::ssize(a.mask.counts);
      }
    }
    CHECK(runs > 100);  // there was something to compare
  }
}

TEST_CASE("device: a run on another device that is resumed equals one that was not interrupted, bit for bit") {
  const std::optional<Device> other = test::other_device();
  if (!other) return;
  const test::TemporaryFolder whole, halves;
  CHECK(train(*model_on(*other), make_job(whole.path())) == 0);
  Job job = make_job(halves.path());
  struct Killed {};
  struct Interrupted : Rectangles {
    Sample load(i64 epoch, i64 index) const override {
      if (epoch >= 1) throw Killed();
      return Rectangles::load(epoch, index);
    }
  };
  job.data = std::make_shared<Interrupted>();
  CHECK_THROWS_AS(train(*model_on(*other), job), Killed);  // after the second step, which was saved
  job.data = std::make_shared<Rectangles>();
  job.resume = true;
  CHECK(train(*model_on(*other), job) == 0);
  CHECK(read_file(checkpoint_path(whole.path(), 4)) == read_file(checkpoint_path(halves.path(), 4)));
}

}  // namespace tessera
