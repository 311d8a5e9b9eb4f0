// A whole network on the other device of this build, the emulated one or a GPU: trained, saved, moved and resumed.
#include <doctest/doctest.h>

#include <cmath>
#include <optional>

#include "autograd/pointwise.h"
#include "models/batch_images.h"
#include "tensor/device_runtime.h"
#include "tensor/file.h"
#include "tests/models/tiny_sparseinst.h"
#include "tests/support/temporary_folder.h"
#include "train/trainer.h"

namespace tessera {

namespace {

// The first device beside the CPU. A CUDA build on a machine without a GPU has none: then there is nothing to compare.
std::optional<Device> other_device() {
  for (const Device device : present_devices())
    if (device.kind != DeviceKind::kCpu) return device;
  MESSAGE("no device beside the CPU: skipped");
  return std::nullopt;
}

// Pictures of 64 x 64 with one to three rectangles.
class Rectangles : public SampleSource {
 public:
  i64 size() const override { return 4; }
  ImageSize original_size(i64) const override { return {64, 64}; }
  Sample load(i64, i64 index) const override {
    Batch batch = test::rectangles({2, 1, 3, 1});
    Sample sample = std::move(batch.samples[static_cast<size_t>(index)]);
    sample.index = index;
    sample.file = fmt::format("rectangles{}.png", index);
    return sample;
  }
};

// Four steps of AdamW, a checkpoint after each second.
Job make_job(const std::filesystem::path& folder, i64 steps = 4) {
  Job job;
  job.config.optimizer = {.lr = 1e-3, .clip_norm = 1};
  job.config.training.steps = steps;
  job.config.training.batch_size = 2;
  job.config.training.ema_decay = 0.9;
  job.config.training.checkpoint_every = 2;
  job.config.data.workers = 0;
  job.folder = folder;
  job.data = std::make_shared<Rectangles>();
  job.classes = {"red", "green", "blue"};
  job.category_ids = {1, 2, 3};
  job.quiet = true;
  return job;
}

std::unique_ptr<SparseInst> model_on(Device device) {
  std::unique_ptr<SparseInst> model = test::tiny_model();
  model->to(device);
  return model;
}

// The losses of every step, term by term.
std::vector<std::vector<double>> train_steps(Device device, int steps) {
  const std::unique_ptr<SparseInst> model = model_on(device);
  Optimizer optimizer({.lr = 1e-3, .clip_norm = 1}, *model);
  const Batch batch = test::rectangles({2, 0, 3});
  std::vector<std::vector<double>> losses;
  for (int step = 0; step < steps; ++step) {
    const std::vector<LossTerm> terms = model->losses(batch);
    Var total = terms[0].value;
    for (size_t i = 1; i < terms.size(); ++i) total = total + terms[i].value;
    total.backward();
    optimizer.clip();
    optimizer.step(1);
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
  const std::optional<Device> other = other_device();
  if (!other) return;
  const auto here = train_steps({}, 3), there = train_steps(*other, 3);
  for (size_t step = 0; step < here.size(); ++step)
    for (size_t term = 0; term < here[step].size(); ++term) {
      CAPTURE(step);
      CAPTURE(term);
      CHECK(std::abs(here[step][term] - there[step][term]) <= 1e-4 * std::max(1.0, std::abs(here[step][term])));
    }
}

TEST_CASE("device: a checkpoint that was trained on either device predicts the same on both") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  for (const Device trained_on : {Device{}, *other}) {
    CAPTURE(trained_on.str());
    const test::TemporaryFolder folder;
    CHECK(train(*model_on(trained_on), make_job(folder.path(), 2)) == 0);
    const std::filesystem::path checkpoint = checkpoint_path(folder.path(), 2);
    CHECK(largest_difference(logits_of(checkpoint, {}), logits_of(checkpoint, *other)) < 1e-4);
  }
}

// The originals are larger than the pictures, and smaller.
TEST_CASE("device: a network on another device detects what it detects on the CPU") {
  const std::optional<Device> other = other_device();
  if (!other) return;
  Batch batch = test::rectangles({2, 0, 3});
  batch.samples[0].original = {100, 75};
  batch.samples[1].original = {33, 40};
  SparseInstConfig config = test::tiny_config();
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
        CHECK(a.score == doctest::Approx(b.score).epsilon(1e-4));
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
  const std::optional<Device> other = other_device();
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
