// SparseInst with graphs: what it says is what it says without them, whatever changed in between.
#include <cstring>
#include <vector>

#include "nn/intermediates.h"
#include "ops/precision.h"
#include "tensor/allocator.h"
#include "tensor/device_counts.h"
#include "tests/cuda/other_device.h"
#include "tests/cuda/training_job.h"
#include "tests/models/tiny_sparseinst.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/threads_communicator.h"
#include "train/pass.h"

namespace tessera {

using sparseinst::SparseInst;

namespace {

// One network twice: as it is, and with graphs.
struct Twins {
  Device device;
  std::unique_ptr<SparseInst> plain, graphs;

  explicit Twins(Device where, const sparseinst::Config& config = test::tiny_config())
      : device(where), plain(test::tiny_model(config)), graphs(test::tiny_model(config)) {
    for (SparseInst* model : {plain.get(), graphs.get()}) model->to(device);
    fuse();
  }
  void fuse() {
    nn::fuse_for_inference(*plain);
    nn::fuse_for_inference(*graphs, {.graph = true});
  }
  Tensor images(const Shape& shape, u64 seed) const {
    Tensor x = Tensor::empty(shape);
    Random(seed).fill_uniform(x, -2, 2);
    return x.to(device);
  }
  // Whether both say the same, bit for bit, of new images.
  bool agree(const Shape& shape, u64 seed) {
    const NoGrad no_grad;
    const Var x(images(shape, seed));
    const sparseinst::Output a = plain->forward(x), b = graphs->forward(x);
    const auto same = [](const Var& left, const Var& right) {
      const Tensor l = left.value().to_host(), r = right.value().to_host();
      return l.shape() == r.shape() && std::memcmp(l.raw(), r.raw(), l.bytes()) == 0;
    };
    return same(a.logits, b.logits) && same(a.masks, b.masks) && (!a.objectness || same(a.objectness, b.objectness)) &&
           (!a.maps || same(a.maps, b.maps));
  }
};

}  // namespace

TEST_CASE("replay: each size has its own graph, and new images get the bits of the eager forward") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  u64 seed = 1;
  for (int round = 0; round < 4; ++round)
    for (const Shape& shape : {Shape{1, 64, 64, 3}, {1, 64, 96, 3}, {2, 64, 64, 3}}) CHECK(twins.agree(shape, seed++));
}

TEST_CASE("replay: every variant of the network can be recorded") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  std::vector<sparseinst::Config> variants(5, test::tiny_config());
  variants[0].iam.cross_attention = true;
  variants[1].decoder.dconv = nn::Deform::kV2;
  variants[2].iam.activation = sparseinst::IamActivation::kSoftmax;
  variants[2].iam.groups = 1;
  variants[3].backbone.kind = BackboneKind::kMobileNetV2;
  variants[3].loss.objectness = sparseinst::ObjectnessLoss::kNone;
  variants[4].encoder.fusion = false;
  variants[4].decoder.coords = false;
  for (const sparseinst::Config& config : variants) {
    Twins twins(*device, config);
    for (u64 seed = 1; seed < 4; ++seed) CHECK(twins.agree({1, 64, 64, 3}, seed));
  }
}

TEST_CASE("replay: a size is recorded when it comes again; the model's graphs go with train()") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  const NoGrad no_grad;
  const Var x(twins.images({1, 64, 64, 3}, 1));
  const auto allocated = [&] { return memory_report(*device).allocated; };
  twins.plain->forward(x);  // tables of this size are made, which stay
  const size_t before = allocated();
  twins.graphs->forward(x);
  CHECK(allocated() == before);
  {
    const Tensor masks = twins.graphs->forward(x).masks.value();
    CHECK(allocated() > before);
    const Tensor first = masks.to_host();
    const sparseinst::Output output = twins.graphs->forward(Var(twins.images({1, 64, 64, 3}, 2)));
    CHECK(output.masks.value().same_memory(masks));  // which the second images have changed
    CHECK(std::memcmp(masks.to_host().raw(), first.raw(), first.bytes()) != 0);
  }
  twins.graphs->train();
  CHECK(allocated() <= before);  // the fused weights have gone, too
}

TEST_CASE("replay: the graphs that were not used for longest go, and their memory with them") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  const NoGrad no_grad;
  const auto forward = [&](i64 n) { twins.graphs->forward(Var(twins.images({n, 32, 32, 3}, 1))); };
  constexpr i64 kKept = 8;                                     // SparseInst::kGraphs
  twins.plain->forward(Var(twins.images({1, 32, 32, 3}, 1)));  // tables of this size are made, which stay
  const size_t before = memory_report(*device).allocated;
  forward(1);
  forward(1);
  CHECK(memory_report(*device).allocated > before);
  for (i64 n = 2; n <= kKept; ++n) forward(n);
  CHECK(memory_report(*device).allocated > before);
  forward(kKept + 1);
  CHECK(memory_report(*device).allocated == before);
  forward(1);  // counts as new
  CHECK(memory_report(*device).allocated == before);
}

TEST_CASE("replay: weights that change in place are seen, and new ones after they were fused again") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  const Shape shape{1, 64, 64, 3};
  for (u64 seed = 1; seed < 4; ++seed) CHECK(twins.agree(shape, seed));
  for (SparseInst* model : {twins.plain.get(), twins.graphs.get()})
    for (const auto& [name, parameter] : nn::named_parameters(*model))
      if (name.ends_with("cls_score.weight")) parameter->value().fill(0.25);  // a linear layer has no fused form
  CHECK(twins.agree(shape, 4));

  sparseinst::Config config = test::tiny_config();
  Random random(11);
  SparseInst other(config, random);
  for (SparseInst* model : {twins.plain.get(), twins.graphs.get()})
    nn::load_state(*model, nn::state_dict(other), nn::Strictness::kExact, false);
  for (u64 seed = 5; seed < 8; ++seed) CHECK(twins.agree(shape, seed));  // not fused: no graphs
  twins.fuse();
  for (u64 seed = 8; seed < 11; ++seed) CHECK(twins.agree(shape, seed));
}

TEST_CASE("replay: the precision that is set counts as part of the size") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  for (u64 seed = 1; seed < 10; ++seed) {
    const ArithmeticScope arithmetic({.precision = seed % 3 == 0 ? Precision::kMedium : Precision::kHighest});
    CHECK(twins.agree({1, 64, 64, 3}, seed));
  }
}

TEST_CASE("replay: intermediate results are those of a forward of their own, not of a graph") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  const NoGrad no_grad;
  const Var x(twins.images({1, 64, 64, 3}, 1)), next(twins.images({1, 64, 64, 3}, 2));
  for (int k = 0; k < 3; ++k) twins.graphs->forward(x);
  Tensor seen;
  {
    const nn::Intermediates intermediates;
    twins.graphs->forward(x);
    seen = intermediates.at("pred_masks");
  }
  const Tensor masks = seen.to_host();
  twins.graphs->forward(next);
  CHECK(std::memcmp(seen.to_host().raw(), masks.raw(), masks.bytes()) == 0);
}

TEST_CASE("replay: detections are those of the eager model; on a device without graphs it is an error") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Twins twins(*device);
  for (int k = 0; k < 3; ++k) {
    const Batch batch = test::rectangles({2, 3});
    const auto expected = twins.plain->detect(batch), found = twins.graphs->detect(batch);
    REQUIRE(found.size() == expected.size());
    for (size_t n = 0; n < found.size(); ++n) {
      REQUIRE(found[n].size() == expected[n].size());
      for (size_t i = 0; i < found[n].size(); ++i) {
        CHECK(found[n][i].score == expected[n][i].score);
        CHECK(found[n][i].mask.counts == expected[n][i].mask.counts);
      }
    }
  }
  CHECK_ERROR(nn::fuse_for_inference(*test::tiny_model(), {.graph = true}), "device cpu cannot record graphs");
}

// What a step's work depends on is the same in every batch, but for what the pictures show.
class SameSizes : public test::Rectangles {
 public:
  i64 size() const override { return 8; }
  Sample load(i64, i64 index) const override {
    Batch batch = test::rectangles({2, 2, 2, 2, 2, 2, 2, 2});
    Sample sample = std::move(batch.samples[static_cast<size_t>(index)]);
    sample.index = index;
    sample.file = fmt::format("rectangles{}.png", index);
    return sample;
  }
};

TEST_CASE("replay: a run whose passes are replayed has the weights, buffers and losses of one without, bit for bit") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const auto run = [&](bool graph, bool bf16, const std::shared_ptr<SampleSource>& data) {
    const std::unique_ptr<SparseInst> model = test::model_on(*device);
    const test::TemporaryFolder folder;
    Job job = test::make_job(folder.path(), 6);
    job.config.training.graph = graph;
    job.config.training.mixed_precision = bf16;
    job.data = data;
    CHECK(train(*model, job) == 0);
    return nn::state_dict(*model);
  };
  for (const bool bf16 : {false, true})
    for (const std::shared_ptr<SampleSource>& data :
         {std::shared_ptr<SampleSource>(std::make_shared<SameSizes>()),
          std::shared_ptr<SampleSource>(std::make_shared<test::Rectangles>())}) {
      CAPTURE(bf16);
      const std::vector<NamedTensor> plain = run(false, bf16, data), replayed = run(true, bf16, data);
      REQUIRE(plain.size() == replayed.size());
      for (size_t i = 0; i < plain.size(); ++i) {
        CAPTURE(plain[i].name);
        const Tensor a = plain[i].tensor.to_host(), b = replayed[i].tensor.to_host();
        CHECK(std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
      }
    }
}

TEST_CASE("replay: what the losses of a pass weigh changes without a new recording") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Batch batch = test::rectangles({9, 1});  // more objects than queries
  const auto gradients = [&](bool replayed) {
    const std::unique_ptr<SparseInst> model = test::model_on(*device);
    Passes passes(replayed);
    std::vector<std::vector<float>> results;
    for (const double weight : {0.5, 0.25, 0.125}) {
      model->zero_grad();
      passes(*model, batch, {weight, 0.5}, {});
      for (const auto& [name, parameter] : nn::named_parameters(*model)) {
        if (!parameter->grad()) continue;
        const Tensor gradient = parameter->grad().to_host();
        results.emplace_back(gradient.span<float>().begin(), gradient.span<float>().end());
      }
    }
    return results;
  };
  const std::vector<std::vector<float>> plain = gradients(false);
  CHECK(plain.size() > 100);
  CHECK(plain == gradients(true));
}

TEST_CASE("replay: from the third pass of a size on it is one launch, and two sizes are remembered") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const std::unique_ptr<SparseInst> model = test::model_on(*device);
  Passes passes(true);
  const auto launches = [&](const std::vector<i64>& objects) {
    model->zero_grad();
    const Batch batch = test::rectangles(objects);
    const i64 before = device_counts().launches;
    passes(*model, batch, {1, 1}, {});
    return device_counts().launches - before;
  };
  const i64 eager = launches({2, 1});
  CHECK(launches({2, 1}) > eager);  // recorded
  CHECK(launches({2, 1}) < eager / 4);
  CHECK(launches({1, 2}) >= eager - 5);  // other numbers of objects
  CHECK(launches({2, 1}) < eager / 4);
  launches({3, 0});
  CHECK(launches({1, 2}) >= eager - 5);  // was forgotten
}

TEST_CASE("replay: passes that add up gradients, and devices without graphs, are errors before a run") {
  const test::TemporaryFolder folder;
  Job job = test::make_job(folder.path());
  job.config.training.graph = true;
  CHECK_ERROR(train(*test::model_on({}), job), "device cpu cannot record graphs");
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  job.config.training.accumulate = 2;
  CHECK_ERROR(train(*test::model_on(*device), job), "training.accumulate = 1");
  job.config.training.accumulate = 1;
  for (const std::string& error : test::on_ranks(2, [&](Communicator& communicator) {
         Job of_rank = job;
         of_rank.communicator = &communicator;
         train(*test::model_on(*device), of_rank);
       }))
    CHECK(error.find("training.sync_batch_norm = false") != std::string::npos);
}

}  // namespace tessera
