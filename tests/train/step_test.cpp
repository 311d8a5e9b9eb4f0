#include "train/step.h"

#include <doctest/doctest.h>

#include <limits>
#include <set>

#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy_runs.h"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("step: a loss that is not finite stops before the update and names term, step and images") {
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

TEST_CASE("step: a gradient that is not finite stops before the update and names parameter, step and images") {
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
  CHECK(message.starts_with("step 3, images " + images +
                            ": the gradient of bias is not finite; the weights were not updated; step 2 is saved in "));
  CHECK(std::equal(before.span<float>().begin(), before.span<float>().end(), toy.weight.value().span<float>().begin()));
}

TEST_CASE("step: of several batches the one whose loss is not finite is named") {
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

TEST_CASE("step: accumulated batches make the update of one large batch") {
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

TEST_CASE("step: batches of a model without a normaliser weigh the same in an update") {
  const auto first_step = [](i64 batch_size, i64 accumulate) {
    const test::TemporaryFolder folder;
    Toy toy;
    toy.averaged = true;  // its losses are sums over the pictures of a batch
    Job job = make_job(folder.path());
    job.config.training.steps = 1;
    job.config.training.batch_size = batch_size;
    job.config.training.accumulate = accumulate;
    job.config.data.group_by_aspect = false;
    train(toy, job);
    return nlohmann::json::parse(timeless(folder.path()).at(0));
  };
  const nlohmann::json large = first_step(6, 1), small = first_step(2, 3);
  for (const char* figure : {"loss", "grad_norm"})
    CHECK(3 * small[figure].get<double>() == doctest::Approx(large[figure].get<double>()).epsilon(1e-4));
}

TEST_CASE("step: losses know step and epoch, and draw the same numbers when the run is resumed") {
  const test::TemporaryFolder folder;
  Toy whole, resumed;
  train(whole, make_job(folder.path()));
  REQUIRE(whole.contexts.size() == 24);
  std::set<double> drawn;
  for (size_t i = 0; i < 24; ++i) {
    const StepContext& context = whole.contexts[i];
    CHECK(context.step == static_cast<i64>(i / 2));
    CHECK(context.epoch == doctest::Approx(static_cast<double>(context.step) * 4 / 10));
    for (const char* purpose : {"points", "boxes"})
      for (const i64 image : {0, 1}) drawn.insert(context.random(purpose, image).uniform());
  }
  CHECK(drawn.size() == 12 * 4);  // a step's two batches have the same streams

  std::filesystem::remove(checkpoint_path(folder.path(), 12));
  Job job = make_job(folder.path());
  job.resume = true;
  train(resumed, job);
  REQUIRE(resumed.contexts.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    const StepContext &again = resumed.contexts[i], &before = whole.contexts[20 + i];
    CHECK(again.step == before.step);
    CHECK(again.epoch == before.epoch);
    CHECK(again.random("points").bits() == before.random("points").bits());
  }
}
