#include "train/log.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

constexpr Log::Options kQuiet{.steps = 10, .quiet = true};

StepRecord record(i64 step) {
  return {.step = step, .loss = 0.1 * static_cast<double>(step), .losses = {{"loss_ce", 1.0 / 3}}, .lr = 5e-5};
}

}  // namespace

TEST_CASE("log: one JSON object per step, with all digits") {
  const test::TemporaryFolder folder;
  Log(folder.path(), 0, kQuiet).step(record(3));
  CHECK(read_file(folder / "log.jsonl") ==
        "{\"event\":\"step\",\"step\":3,\"loss\":0.30000000000000004,\"losses\":{\"loss_ce\":0.3333333333333333},"
        "\"lr\":5e-05,\"grad_norm\":0.0,\"ms\":0.0,\"images_per_s\":0.0,\"memory_mb\":0.0}\n");
}

TEST_CASE("log: continuing at a step removes later lines and a line that was cut off") {
  const test::TemporaryFolder folder;
  {
    Log log(folder.path(), 0, kQuiet);
    for (i64 step = 1; step <= 4; ++step) {
      log.step(record(step));
      if (step % 2 == 0) log.evaluation(step, {{"segm", {{"AP", 0.5}}}}, 1.5);
    }
  }
  const std::string all = read_file(folder / "log.jsonl");
  const std::string eval = "{\"event\":\"eval\",\"step\":2,\"segm\":{\"AP\":0.5},\"seconds\":1.5}\n";
  const size_t end = all.find(eval) + eval.size();
  REQUIRE(all.find(eval) != std::string::npos);
  write_file(folder / "log.jsonl", all + "{\"event\":\"st");
  {
    Log log(folder.path(), 2, kQuiet);
    CHECK(read_file(folder / "log.jsonl") == all.substr(0, end));
    for (i64 step = 3; step <= 4; ++step) log.step(record(step));
    log.evaluation(4, {{"segm", {{"AP", 0.5}}}}, 1.5);
  }
  CHECK(read_file(folder / "log.jsonl") == all);
  Log(folder.path(), 0, kQuiet);
  CHECK(read_file(folder / "log.jsonl").empty());
}

TEST_CASE("log: durations read well") {
  CHECK(format_duration(47.2) == "47 s");
  CHECK(format_duration(185) == "3:05");
  CHECK(format_duration(7385) == "2:03:05");
}
