#include "train/event_file.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "tests/support/check_error.h"
#include "tests/support/full_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/event_reader.h"
#include "tests/train/threads_communicator.h"
#include "tests/train/toy_runs.h"

using namespace tessera;
using test::read_events;
using test::ReadEvent;
namespace fs = std::filesystem;

namespace {

std::vector<fs::path> sorted_event_files(const fs::path& folder) {
  std::vector<fs::path> files = event_files(folder);
  std::sort(files.begin(), files.end());
  return files;
}

Job job_with_events(const fs::path& folder) {
  Job job = test::make_job(folder);
  job.config.training.tensorboard = true;
  return job;
}

}  // namespace

TEST_CASE("event file: crc32c gives the values of RFC 3720, B.4") {
  CHECK(crc32c("123456789") == 0xE3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43);
  CHECK(crc32c("") == 0);
}

TEST_CASE("event file: version and start of the run, then the scalars of each step") {
  const test::TemporaryFolder folder;
  {
    EventFile file(folder.path(), 300);
    file.sync();
    CHECK(event_files(folder.path()).empty());  // nothing to tell yet
    file.add(301, {{"train/loss", 0.1}, {"train/lr", 5e-5}});
    file.add(1'000'000'000'000, {{"segm/AP", std::nan("")}});
    file.flush();
  }
  const std::vector<fs::path> files = event_files(folder.path());
  REQUIRE(files.size() == 1);
  CHECK(files[0].filename().string().starts_with("events.out.tfevents.1"));
  const std::vector<ReadEvent> events = read_events(files[0]);
  REQUIRE(events.size() == 4);
  CHECK(events[0].version == "brain.Event:2");
  CHECK(events[1].start);
  CHECK(events[1].step == 301);
  CHECK(events[2].step == 301);
  CHECK(events[2].scalars == std::map<std::string, float>{{"train/loss", 0.1f}, {"train/lr", 5e-5f}});
  CHECK(events[2].wall_time == doctest::Approx(static_cast<double>(std::time(nullptr))).epsilon(1e-6));
  CHECK(events[3].step == 1'000'000'000'000);
  CHECK(std::isnan(events[3].scalars.at("segm/AP")));
}

TEST_CASE("event file: what finds no room leaves whole records behind, and comes when there is room again") {
  const test::TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  file.add(1, {{"loss", 1}});
  file.flush();
  const fs::path path = event_files(folder.path()).at(0);
  {
    const test::FullDisk full(fs::file_size(path) + 10);
    file.add(2, {{"loss", 2}});
    CHECK_ERROR(file.flush(), "cannot be written: File too large");
    CHECK(read_events(path).size() == 3);
  }
  file.add(3, {{"loss", 3}});
  file.flush();
  const std::vector<ReadEvent> events = read_events(path);
  REQUIRE(events.size() == 5);
  for (size_t i = 2; i < 5; ++i) CHECK(events[i].scalars.at("loss") == static_cast<float>(events[i].step));
}

TEST_CASE("event file: a run writes what its log has, and one that is resumed a second file") {
  const test::TemporaryFolder folder;
  {
    test::Toy toy;
    Job job = job_with_events(folder.path());
    toy.disturb = [&toy](const Batch&, std::vector<LossTerm>& terms) {
      if (toy.contexts.back().step == 7) terms[1].value = terms[1].value * std::nan("");
    };
    CHECK(test::contains(test::failure(toy, job), "step 7 is saved"));
  }
  test::Toy toy;
  Job job = job_with_events(folder.path());
  job.resume = true;
  CHECK(train(toy, job) == 0);

  const std::vector<fs::path> files = sorted_event_files(folder.path());
  REQUIRE(files.size() == 2);
  CHECK(read_events(files[1])[1].step == 8);
  std::map<i64, std::map<std::string, float>> told;
  for (const fs::path& file : files)
    for (const ReadEvent& event : read_events(file))
      for (const auto& [tag, value] : event.scalars) told[event.step][tag] = value;
  size_t figures = 0;
  const auto check = [&](i64 step, const std::string& tag, double value) {
    CAPTURE(step);
    CAPTURE(tag);
    CHECK(told.at(step).at(tag) == static_cast<float>(value));
    ++figures;
  };
  for (const LogLine& line : read_log(folder.path()).lines) {
    for (const auto& [name, value] : line.figures) check(line.step, "train/" + name, value);
    for (const auto& [task, values] : line.scores)
      for (const auto& [name, value] : values) check(line.step, task + "/" + name, value);
  }
  CHECK(figures > 12 * 4);
  for (const auto& [step, scalars] : told) figures -= scalars.size();
  CHECK(figures == 0);

  // A run that begins anew takes their place.
  test::Toy another;
  CHECK(train(another, job_with_events(folder.path())) == 0);
  CHECK(event_files(folder.path()).size() == 1);
}

TEST_CASE("event file: of several processes the first one writes") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> errors = test::on_ranks(2, [&](Communicator& communicator) {
    test::Toy toy;
    Job job = job_with_events(folder.path());
    job.communicator = &communicator;
    train(toy, job);
  });
  for (const std::string& error : errors) CHECK(error.empty());
  CHECK(event_files(folder.path()).size() == 1);
}
