// Several processes of one run, here threads: what they compute together is what one computes alone.
#include <cmath>
#include <limits>

#include "autograd/norm.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/threads_communicator.h"
#include "tests/train/toy_runs.h"
#include "train/gather_objects.h"
#include "train/gradient_sums.h"

namespace tessera {
namespace {

using test::contains;
using test::make_job;
using test::on_ranks;
using test::Toy;

// The toy's run on so many ranks: 12 steps of 2 batches of 6, of which pictures without objects are a third. prepare
// may change a rank's model and job.
struct RanksRun {
  test::TemporaryFolder folder;
  std::vector<std::string> errors;
  std::vector<std::vector<float>> weights;

  explicit RanksRun(size_t count, const std::function<void(i64 rank, Toy&, Job&)>& prepare = {}) : weights(count) {
    errors = on_ranks(count, [&](Communicator& communicator) {
      Toy toy;
      Job job = make_job(folder.path());
      job.config.training.batch_size = 6;
      job.communicator = &communicator;
      if (prepare) prepare(communicator.rank(), toy, job);
      train(toy, job);
      const auto span = toy.weight.value().span<float>();
      weights[static_cast<size_t>(communicator.rank())] = {span.begin(), span.end()};
    });
  }
  std::vector<double> figures(const char* name) const {
    std::vector<double> result;
    for (const std::string& line : test::timeless(folder.path()))
      if (const auto json = nlohmann::json::parse(line); json.contains(name)) result.push_back(json[name]);
    return result;
  }
};

TEST_CASE("processes: two and four compute what one with the whole batch computes") {
  const RanksRun one(1);
  for (const size_t count : {2, 4}) {
    CAPTURE(count);
    const RanksRun several(count);
    for (const std::string& error : several.errors) CHECK(error.empty());
    for (const char* name : {"loss", "grad_norm"}) {
      const std::vector<double> expected = one.figures(name), found = several.figures(name);
      REQUIRE(expected.size() == 12);
      REQUIRE(found.size() == 12);
      for (size_t i = 0; i < 12; ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    }
    for (const std::vector<float>& weight : several.weights) CHECK(weight == several.weights[0]);
  }
}

TEST_CASE("processes: losses that are sums over the pictures are added up, not averaged") {
  const auto sums = [](i64, Toy& toy, Job&) { toy.averaged = true; };
  const RanksRun one(1, sums), two(2, sums);
  for (size_t i = 0; i < 12; ++i)
    CHECK(two.figures("loss")[i] == doctest::Approx(one.figures("loss")[i]).epsilon(1e-5));
}

TEST_CASE("processes: two runs give the same bits, and the log and checkpoints are the first rank's alone") {
  const RanksRun a(2), b(2);
  CHECK(test::timeless(a.folder.path()) == test::timeless(b.folder.path()));
  CHECK(test::final_checkpoint(a.folder.path()) == test::final_checkpoint(b.folder.path()));
}

TEST_CASE("processes: a run of two goes on with one and with three") {
  const RanksRun whole(1);
  for (const size_t count : {1, 3}) {
    const test::TemporaryFolder folder;
    for (const auto& [ranks, steps] : {std::pair<size_t, i64>{2, 5}, {count, 12}}) {
      const auto errors = on_ranks(ranks, [&, steps = steps](Communicator& communicator) {
        Toy toy;
        Job job = make_job(folder.path());
        job.config.training.batch_size = 6;
        job.config.training.steps = steps;
        job.config.evaluation.every = 0;
        job.communicator = &communicator;
        job.resume = steps == 12;
        train(toy, job);
      });
      for (const std::string& error : errors) CHECK(error.empty());
    }
    const std::vector<std::string> lines = test::timeless(folder.path());
    const std::vector<double> expected = whole.figures("loss");
    size_t step = 0;
    for (const std::string& line : lines)
      if (const auto json = nlohmann::json::parse(line); json.contains("loss"))
        CHECK(json["loss"].get<double>() == doctest::Approx(expected.at(step++)).epsilon(1e-5));
    CHECK(step == 12);
  }
}

TEST_CASE("processes: all end when the first one's figures do not get better") {
  const RanksRun run(2, [](i64 rank, Toy&, Job& job) {
    job.config.evaluation.patience = 1;
    job.evaluate = [rank](Segmenter&) { return rank == 0 ? Scores{{"segm", {{"AP", 0.5}}}} : Scores(); };
  });
  for (const std::string& error : run.errors) CHECK(error.empty());
  CHECK(run.figures("loss").size() == 8);
}

TEST_CASE("processes: a loss that is not finite on one rank refuses the step on all, naming rank and images") {
  for (const i64 culprit : {0, 1}) {
    const RanksRun run(2, [&](i64 rank, Toy& toy, Job&) {
      if (rank != culprit) return;
      toy.disturb = [&toy](const Batch&, std::vector<LossTerm>& terms) {
        if (toy.contexts.back().step == 6) terms[1].value = terms[1].value * std::numeric_limits<double>::infinity();
      };
    });
    for (const std::string& error : run.errors) {
      CHECK(contains(error, fmt::format("rank {} (thread): step 7, images noise", culprit)));
      CHECK(contains(error, "loss_size is not finite"));
    }
    CHECK(contains(run.errors[0], "step 6 is saved in"));
  }
}

TEST_CASE("processes: what one rank fails of ends all of them, after the first has saved") {
  const RanksRun run(3, [](i64 rank, Toy& toy, Job&) {
    if (rank == 2)
      toy.disturb = [&toy](const Batch&, std::vector<LossTerm>&) {
        TESSERA_CHECK(toy.contexts.back().step < 6, "this picture cannot be read");
      };
  });
  CHECK(contains(run.errors[2], "this picture cannot be read"));
  for (const size_t rank : {0, 1}) CHECK(contains(run.errors[rank], "rank 2 (thread): step 7, images noise"));
  CHECK(contains(run.errors[0], "step 6 is saved in"));
}

TEST_CASE("processes: averages are the same on all ranks where each has running statistics of its own share") {
  const RanksRun run(2, [](i64 rank, Toy& toy, Job& job) {
    job.config.training.sync_batch_norm = false;
    job.config.training.compare_every = 1;
    toy.disturb = [&toy, rank](const Batch&, std::vector<LossTerm>&) {
      toy.counter.data<float>()[0] += static_cast<float>(rank);
    };
  });
  for (const std::string& error : run.errors) CHECK(error == "");
}

// Cut off when it gives the figures of its third step to the others.
class CutOff : public Communicator {
 public:
  explicit CutOff(Communicator& other) : Communicator(other.rank(), other.size(), 0), other_(other) {}
  std::string name(i64 rank) const override { return other_.name(rank); }
  using Communicator::gather;
  std::vector<std::string> gather(std::string_view mine) override {
    const bool figures = mine.size() == 6 * sizeof(double);  // times, images, three losses
    TESSERA_CHECK(!figures || ++steps_ < 3, "a power cut");
    return other_.gather(mine);
  }
  void begin_sum(const Tensor& tensor) override { other_.begin_sum(tensor); }
  void wait() override { other_.wait(); }
  void sum(const Tensor& tensor) override { other_.sum(tensor); }
  void broadcast(std::span<const Tensor> tensors, i64 from) override { other_.broadcast(tensors, from); }
  double waited() const override { return 0; }
  void leave(const std::string& reason) noexcept override { other_.leave(reason); }

 private:
  Communicator& other_;
  int steps_ = 0;
};

TEST_CASE("processes: one that is lost at the end of a step leaves a checkpoint of that step alone") {
  std::optional<CutOff> cut_off;
  const RanksRun whole(2), run(2, [&](i64 rank, Toy&, Job&job) {
    job.config.training.checkpoint_every = 100;
    if (rank == 1) job.communicator = &cut_off.emplace(*job.communicator);
  });
  CHECK(contains(run.errors[1], "a power cut"));
  CHECK(contains(run.errors[0], "step 3 is saved in"));
  const SafeTensors file = SafeTensors::open(checkpoint_path(run.folder.path(), 3));
  for (const NamedTensor& entry : file.tensors())
    if (entry.name == "model.counter") CHECK(entry.tensor.data<float>()[0] == 6);  // two passes in each step
}

TEST_CASE("processes: weights that differ are found, and the tensor is named") {
  const RanksRun run(2, [](i64 rank, Toy& toy, Job& job) {
    job.config.training.compare_every = 3;
    if (rank == 1)
      toy.disturb = [&toy](const Batch&, std::vector<LossTerm>&) {
        if (toy.contexts.back().step == 4) toy.bias.value().data<float>()[1] += 1e-3f;
      };
  });
  for (const std::string& error : run.errors)
    CHECK(contains(error, "bias is not the same on rank 1 (thread) and rank 0 (thread)"));
}

TEST_CASE("processes: a parameter without a gradient on one rank takes part with zeros, on all ranks it stays") {
  struct Two : nn::Module {
    Var a{Tensor::full({3}, 1), true}, b{Tensor::full({2}, 1), true};
    void visit(nn::Visitor& v) override { v.parameter("a", a), v.parameter("b", b); }
  };
  const auto errors = on_ranks(2, [](Communicator& communicator) {
    Two model;
    GradientSums sums(communicator, model);
    if (communicator.rank() == 1) model.a.grad() = Tensor::full({3}, 4);
    sums.finish();
    TESSERA_CHECK(model.a.grad() && model.a.grad().span<float>()[2] == 4, "no sum");
    TESSERA_CHECK(!model.b.grad(), "a gradient of nobody");
  });
  for (const std::string& error : errors) CHECK(error == "");
}

TEST_CASE("processes: moments that are shared give the same bits, and checkpoints that know nothing of it") {
  const auto shared = [](i64, Toy&, Job& job) { job.config.optimizer.sharded = true; };
  const RanksRun whole(2), parts(2, shared);
  for (const std::string& error : parts.errors) CHECK(error == "");
  CHECK(parts.weights == whole.weights);
  CHECK(test::timeless(parts.folder.path()) == test::timeless(whole.folder.path()));
  // Both go on in the same way, with any number of ranks.
  const auto continued = [](const RanksRun& run, size_t ranks, bool sharded) {
    const test::TemporaryFolder folder;
    const auto all = std::filesystem::copy_options::recursive;
    std::filesystem::copy(run.folder.path(), folder / "run", all);
    const auto errors = on_ranks(ranks, [&](Communicator& communicator) {
      Toy toy;
      Job job = make_job(folder / "run");
      job.config.training.batch_size = 6;
      job.config.training.steps = 14;
      job.config.optimizer.sharded = sharded;
      job.communicator = &communicator;
      job.resume = true;
      train(toy, job);
    });
    for (const std::string& error : errors) CHECK(error == "");
    CHECK(test::logged_step(folder / "run") == 14);
    return test::timeless(folder / "run");
  };
  CHECK(continued(parts, 1, false) == continued(whole, 1, false));
  CHECK(continued(parts, 3, true) == continued(whole, 3, false));
}

TEST_CASE("processes: what they found is put together in the order of the batches") {
  const auto objects = [](i64 batch) {
    ObjectsOfBatch result;
    for (i64 i = 0; i < batch % 3; ++i) {
      Detection detection{.image_id = batch, .category_id = i, .score = 1.0 / static_cast<double>(batch + i)};
      if (i % 2) detection.bbox = XywhBox{1, 2, 3, static_cast<double>(batch)};
      if (batch % 2) detection.segmentation = Rle{4, 5, {3, 17}};
      result.push_back({detection, 0.25});
    }
    return result;
  };
  for (const i64 batches : {0, 1, 2, 7}) {
    const auto errors = on_ranks(3, [&](Communicator& communicator) {
      std::vector<ObjectsOfBatch> mine, expected;
      for (i64 b = 0; b < batches; ++b) {
        expected.push_back(objects(b));
        if (b % 3 == communicator.rank()) mine.push_back(objects(b));
      }
      TESSERA_CHECK(gather_objects(mine, communicator) == expected, "another list");
    });
    for (const std::string& error : errors) CHECK(error == "");
  }
}

TEST_CASE("batch_norm: parts of a batch have the statistics and gradients of the whole") {
  Random random(5);
  const auto noise = [&](const Shape& shape, double mean) {
    Tensor values = Tensor::empty(shape);
    random.fill_normal(values, mean, 1);
    return values;
  };
  const Tensor x = noise({6, 3, 2, 4}, 30), gy = noise({6, 3, 2, 4}, 0), weight = noise({4}, 1), bias = noise({4}, 0);
  struct Result {
    Tensor y, gx, gweight, gbias, mean = Tensor::zeros({4}), variance = Tensor::full({4}, 1);
  };
  const auto compute = [&](i64 first, i64 last) {
    Result r;
    const Var in(x.rows(first, last).clone(), true), w(weight.clone(), true), b(bias.clone(), true);
    const Var y = batch_norm(in, w, b, r.mean, r.variance, true, 0.1, 1e-5);
    y.backward(gy.rows(first, last).clone());
    r.y = y.value(), r.gx = in.grad(), r.gweight = w.grad(), r.gbias = b.grad();
    return r;
  };
  const Result whole = compute(0, 6);
  std::vector<Result> parts(2);
  const auto errors = on_ranks(2, [&](Communicator& communicator) {
    const WholeBatch scope([&](const Tensor& sums) { communicator.sum(sums); });
    parts[static_cast<size_t>(communicator.rank())] = communicator.rank() == 0 ? compute(0, 2) : compute(2, 6);
  });
  for (const std::string& error : errors) CHECK(error == "");
  const auto close = [](const Tensor& a, const Tensor& b) {
    REQUIRE(a.numel() == b.numel());
    for (i64 i = 0; i < a.numel(); ++i)
      CHECK(a.span<float>()[static_cast<size_t>(i)] ==
            doctest::Approx(b.span<float>()[static_cast<size_t>(i)]).epsilon(1e-4));
  };
  close(parts[0].y, whole.y.rows(0, 2)), close(parts[1].y, whole.y.rows(2, 6));
  close(parts[0].gx, whole.gx.rows(0, 2)), close(parts[1].gx, whole.gx.rows(2, 6));
  close(ops::add(parts[0].gweight, parts[1].gweight), whole.gweight);
  close(ops::add(parts[0].gbias, parts[1].gbias), whole.gbias);
  for (const Result& part : parts) close(part.mean, whole.mean), close(part.variance, whole.variance);
}

TEST_CASE("batch_norm: of a whole batch with one row the statistics are numbers, and none leaves them alone") {
  for (const i64 rows : {0, 1}) {
    CAPTURE(rows);
    const auto errors = on_ranks(2, [&](Communicator& communicator) {
      const WholeBatch scope([&](const Tensor& sums) { communicator.sum(sums); });
      const Var x(Tensor::full({communicator.first() ? rows : 0, 4}, 3), true), one(Tensor::full({4}, 1), true);
      Tensor mean = Tensor::full({4}, 0.3), variance = Tensor::full({4}, 0.7);
      const Var y = batch_norm(x, one, one, mean, variance, true, 0.1, 1e-5);
      y.backward(Tensor::full(y.shape(), 1));
      for (const Tensor& tensor : {mean, variance, one.grad()})
        for (const float value : tensor.span<float>()) TESSERA_CHECK(std::isfinite(value), "not finite");
      TESSERA_CHECK(rows > 0 || (mean.data<float>()[0] == 0.3f && variance.data<float>()[0] == 0.7f), "not left alone");
    });
    for (const std::string& error : errors) CHECK(error == "");
  }
}

}  // namespace
}  // namespace tessera
