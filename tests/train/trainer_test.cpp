#include "train/trainer.h"

#include <doctest/doctest.h>

#include <csignal>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"

using namespace tessera;
using test::Noise;
using test::Toy;

namespace {

// 12 steps of 2 x 2 images with everything on: clipping, averages, evaluation every 4 steps, a checkpoint every 5.
Job make_job(const std::filesystem::path& folder) {
  Job job;
  job.config.optimizer = {.lr = 0.05, .clip_norm = 1};
  job.config.schedule.warmup_steps = 3;
  TrainingConfig& training = job.config.training;
  training.steps = 12;
  training.batch_size = 2;
  training.accumulate = 2;
  training.ema_decay = 0.9;
  training.checkpoint_every = 5;
  job.config.evaluation.every = 4;
  job.folder = folder;
  job.data = std::make_shared<Noise>();
  job.classes = {"noise"};
  job.category_ids = {1};
  job.evaluate = [](Segmenter& model) -> std::optional<Scores> {
    return Scores{{"segm", {{"AP", dynamic_cast<Toy&>(model).weight.value().span<float>()[0]}}}};
  };
  job.quiet = true;
  return job;
}

// The lines of a log without what depends on the clock.
std::vector<std::string> timeless(const std::filesystem::path& folder) {
  std::istringstream lines(read_file(folder / "log.jsonl"));
  std::vector<std::string> result;
  for (std::string line; std::getline(lines, line);) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(line);
    for (const char* key : {"ms", "images_per_s", "memory_mb", "seconds"}) json.erase(key);
    result.push_back(json.dump());
  }
  return result;
}

std::string final_checkpoint(const std::filesystem::path& folder) {
  return read_file(checkpoint_path(folder, 12));
}

void run_whole(const std::filesystem::path& folder) {
  Toy toy;
  CHECK(train(toy, make_job(folder)) == 0);
}

void resume(const std::filesystem::path& folder) {
  Toy toy;
  Job job = make_job(folder);
  job.resume = true;
  CHECK(train(toy, job) == 0);
}

}  // namespace

TEST_CASE("trainer: a run logs every step and every evaluation, and learns") {
  const test::TemporaryFolder folder;
  run_whole(folder.path());
  const std::vector<std::string> lines = timeless(folder.path());
  REQUIRE(lines.size() == 15);  // 12 steps, evaluations at 4, 8, 12
  CHECK(lines[0].starts_with("{\"event\":\"step\",\"step\":1,\"loss\":"));
  CHECK(lines[4].starts_with("{\"event\":\"eval\",\"step\":4,\"segm\":{\"AP\":"));
  CHECK(nlohmann::json::parse(lines[0])["lr"] == doctest::Approx(0.05 * 0.001));
  CHECK(nlohmann::json::parse(lines[13])["loss"] < nlohmann::json::parse(lines[0])["loss"]);
  CHECK(list_checkpoints(folder.path()) ==
        std::vector{checkpoint_path(folder.path(), 10), checkpoint_path(folder.path(), 12)});  // the last two are kept
  CHECK(std::filesystem::exists(best_path(folder.path())));
  CHECK(holds_run(folder.path()));
  write_file(folder / "mine.txt", "");
  remove_run(folder.path());
  CHECK(!holds_run(folder.path()));
  CHECK(std::filesystem::exists(folder / "mine.txt"));
}

TEST_CASE("trainer: the same seed gives the same bits") {
  const test::TemporaryFolder one, two;
  run_whole(one.path());
  run_whole(two.path());
  CHECK(timeless(one.path()) == timeless(two.path()));
  CHECK(final_checkpoint(one.path()) == final_checkpoint(two.path()));
}

TEST_CASE("trainer: a run that dies at any step and is resumed equals one that was not interrupted") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const i64 batch : {0, 3, 9, 10, 16, 21, 23}) {
    CAPTURE(batch);
    const test::TemporaryFolder folder;
    Toy toy;
    toy.disturb = [&](const Batch& b, std::vector<LossTerm>&) {
      if (b.position == batch) throw std::runtime_error("killed");
    };
    CHECK_THROWS_AS(train(toy, make_job(folder.path())), std::runtime_error);
    resume(folder.path());
    CHECK(timeless(folder.path()) == timeless(whole.path()));
    CHECK(final_checkpoint(folder.path()) == final_checkpoint(whole.path()));
  }
}

TEST_CASE("trainer: a signal lets the step finish and saves; resumed, the run ends as if nothing had happened") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const int number : {SIGINT, SIGTERM}) {
    const test::TemporaryFolder folder;
    Toy toy;
    toy.disturb = [&](const Batch& b, std::vector<LossTerm>&) {
      if (b.position == 13) std::raise(number);  // in step 7
    };
    CHECK(train(toy, make_job(folder.path())) == number);
    CHECK(list_checkpoints(folder.path()).back() == checkpoint_path(folder.path(), 7));
    CHECK(timeless(folder.path()).size() == 8);
    resume(folder.path());
    CHECK(timeless(folder.path()) == timeless(whole.path()));
    CHECK(final_checkpoint(folder.path()) == final_checkpoint(whole.path()));
  }
}

TEST_CASE("trainer: an evaluation that a signal stops is made up for when the run is resumed") {
  const test::TemporaryFolder whole, folder;
  run_whole(whole.path());
  Toy toy;
  Job job = make_job(folder.path());
  job.evaluate = [&](Segmenter& model) -> std::optional<Scores> {
    if (toy.counter.item() < 16) return make_job({}).evaluate(model);
    std::raise(SIGINT);
    return std::nullopt;
  };
  CHECK(train(toy, job) == SIGINT);
  resume(folder.path());
  CHECK(timeless(folder.path()) == timeless(whole.path()));
  CHECK(final_checkpoint(folder.path()) == final_checkpoint(whole.path()));
}

TEST_CASE("trainer: a loss that is not finite stops before the update and names term, step and images") {
  const test::TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  job.config.training.accumulate = 1;
  job.config.data.workers = 0;
  Tensor before;
  toy.disturb = [&](const Batch& batch, std::vector<LossTerm>& terms) {
    before = toy.weight.value().clone();
    if (batch.position == 2) terms[1].value = terms[1].value * std::numeric_limits<double>::quiet_NaN();
  };
  CHECK_ERROR(train(toy, job), "step 3, images noise");
  CHECK(std::equal(before.span<float>().begin(), before.span<float>().end(), toy.weight.value().span<float>().begin()));
  Toy again;
  again.disturb = toy.disturb;
  CHECK_ERROR(train(again, job), "loss_size is not finite (loss_fit ");
}

TEST_CASE("trainer: a gradient that is not finite stops before the update and names parameter, step and images") {
  const test::TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  job.config.data.workers = 0;
  Tensor before;
  std::string images;  // of the step's two batches
  toy.disturb = [&](const Batch& batch, std::vector<LossTerm>& terms) {
    before = toy.weight.value().clone();
    if (batch.position / 2 != 2) return;
    for (const Sample& sample : batch.samples) images += (images.empty() ? "" : ", ") + sample.file.filename().string();
    terms[1].value = terms[1].value + sum(sqrt(toy.bias * 0.0));  // 0, with a slope of infinity times 0
  };
  std::string message;
  try {
    train(toy, job);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message == "step 3, images " + images + ": the gradient of bias is not finite; the weights were not updated");
  CHECK(std::equal(before.span<float>().begin(), before.span<float>().end(), toy.weight.value().span<float>().begin()));
}

TEST_CASE("trainer: of several batches the one whose loss is not finite is named") {
  const test::TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  std::string images;
  toy.disturb = [&](const Batch& batch, std::vector<LossTerm>& terms) {
    if (batch.position != 1) return;
    for (const Sample& sample : batch.samples) images += (images.empty() ? "" : ", ") + sample.file.filename().string();
    terms[0].value = terms[0].value * std::numeric_limits<double>::infinity();
  };
  std::string message;
  try {
    train(toy, job);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.starts_with("step 1, images " + images + ": loss_fit is not finite (loss_fit inf, loss_size "));
}

TEST_CASE("trainer: accumulated batches make the update of one large batch") {
  const auto trained = [](i64 batch_size, i64 accumulate) {
    const test::TemporaryFolder folder;
    Toy toy;
    Job job = make_job(folder.path());
    job.config.training.steps = 5;
    job.config.training.batch_size = batch_size;
    job.config.training.accumulate = accumulate;
    job.config.data.group_by_aspect = false;
    train(toy, job);
    return std::pair(toy.weight.value(), timeless(folder.path()));
  };
  const auto [large, large_log] = trained(6, 1);
  const auto [small, small_log] = trained(2, 3);
  for (int i = 0; i < 3; ++i) CHECK(small.span<float>()[i] == doctest::Approx(large.span<float>()[i]).epsilon(1e-4));
  const auto loss = [](const std::string& line) {
    return nlohmann::json::parse(line)["losses"]["loss_fit"].get<double>();
  };
  CHECK(loss(small_log[0]) == doctest::Approx(loss(large_log[0])).epsilon(1e-4));
}

TEST_CASE("trainer: resuming with another seed or other classes is an error") {
  const test::TemporaryFolder folder;
  run_whole(folder.path());
  Toy toy;
  Job job = make_job(folder.path());
  job.resume = true;
  job.config.training.seed = 2;
  CHECK_ERROR(train(toy, job), "was started with training.seed = 1, not 2");
  job = make_job(folder.path());
  job.resume = true;
  job.classes = {"signal"};
  CHECK_ERROR(train(toy, job), "other classes");
}
