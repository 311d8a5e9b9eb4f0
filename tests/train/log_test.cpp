#include "train/log.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/full_disk.h"
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
    log.step(record(3));
    const std::string line = all.substr(end, all.find('\n', end) + 1 - end);
    CHECK(read_file(folder / "log.jsonl") == all.substr(0, end) + line);
    log.step(record(4));
    log.evaluation(4, {{"segm", {{"AP", 0.5}}}}, 1.5);
  }
  CHECK(read_file(folder / "log.jsonl") == all);
  // Nothing is touched before there is something to write.
  Log(folder.path(), 0, kQuiet).sync();
  CHECK(read_file(folder / "log.jsonl") == all);
  Log(folder.path(), 0, kQuiet).step(record(1));
  CHECK(read_file(folder / "log.jsonl") == all.substr(0, all.find('\n') + 1));
}

TEST_CASE("log: a line that finds no room leaves whole lines behind, and comes when there is room again") {
  const test::TemporaryFolder folder, other;
  Log log(folder.path(), 0, kQuiet), whole(other.path(), 0, kQuiet);
  for (i64 step = 1; step <= 4; ++step) whole.step(record(step));
  log.step(record(1));
  const std::string before = read_file(folder / "log.jsonl");
  {
    const test::FullDisk full(before.size() + 10);
    CHECK_ERROR(log.step(record(2)), "log.jsonl: cannot be written: File too large");
    CHECK(read_file(folder / "log.jsonl") == before);
    CHECK_ERROR(log.sync(), "log.jsonl: cannot be written");
  }
  log.step(record(3));
  log.step(record(4));
  CHECK(read_file(folder / "log.jsonl") == read_file(other / "log.jsonl"));
}

TEST_CASE("log: the evaluation of a step is read back with all its digits, between damaged lines") {
  const test::TemporaryFolder folder;
  CHECK(logged_evaluation(folder.path(), 4).empty());
  const Scores scores{{"segm", {{"AP", 1.0 / 3}, {"AP50", -1}}}, {"bbox", {{"AP", 0.25}}}};
  {
    Log log(folder.path(), 0, kQuiet);
    log.step(record(4));
    log.evaluation(4, scores, 1.5);
    log.step(record(5));
  }
  const std::string text = read_file(folder / "log.jsonl");
  write_file(folder / "log.jsonl", "[]\nnull\n\"step\"\n{\"step\":4}\n" + std::string("\0\0\n", 3) + text + "{\"ev");
  CHECK(logged_evaluation(folder.path(), 4) == scores);
  CHECK(logged_evaluation(folder.path(), 5).empty());
}

TEST_CASE("log: durations read well") {
  CHECK(format_duration(47.2) == "47 s");
  CHECK(format_duration(185) == "3:05");
  CHECK(format_duration(7385) == "2:03:05");
}
