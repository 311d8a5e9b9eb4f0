#include "train/trainer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <csignal>
#include <limits>

#include "tests/support/check_error.h"
#include "tests/support/full_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy_runs.h"

using namespace tessera;
using namespace tessera::test;

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

// What a kill leaves behind is what lies on the disk at that moment: a copy of the folder, taken from within.
TEST_CASE("trainer: a run that is killed at any stage and resumed equals one that was not") {
  const test::TemporaryFolder whole, run, left;
  run_whole(whole.path());
  const auto keep = [&](const std::string& stage) {
    const fs::path copy = left / stage;
    fs::create_directories(copy);
    if (fs::exists(run.path())) fs::copy(run.path(), copy, fs::copy_options::recursive);
    return copy;
  };
  Toy toy;
  Job job = make_job(run.path());
  toy.disturb = [&](const Batch& batch, std::vector<LossTerm>&) {
    // An even batch: a step begins, what the one before saved is on the disk. An odd one: after a backward pass.
    keep(fmt::format("batch {}", batch.position));
    if (batch.position % 2 != 0 || batch.position == 0) return;
    const i64 step = batch.position / 2;
    const fs::path checkpoint = checkpoint_path("", step);
    const auto saving = [&](const std::string& stage, size_t written) {
      const fs::path folder = keep(fmt::format("{} step {}", stage, step));
      const std::string content = read_file(folder / checkpoint);
      fs::remove(folder / checkpoint);
      write_file(folder / "cut", content.substr(0, std::min(written, content.size())));
      fs::rename(folder / "cut", (folder / checkpoint).string() + ".partial");
    };
    if (!fs::exists(run.path() / checkpoint)) return;
    saving("saving", 1000);
    saving("renaming", std::string::npos);
    if (step % 4 != 0) return;
    // Before a checkpoint the log is on the disk. The line of the evaluation after it may be cut, anywhere.
    const std::string log = read_file(run / "log.jsonl");
    for (const size_t cut : {size_t{1}, size_t{40}})
      write_file(keep(fmt::format("logging the evaluation of step {}, {} bytes short", step, cut)) / "log.jsonl",
                 log.substr(0, log.size() - cut));
  };
  job.evaluate = [&](Segmenter& model) {
    const i64 step = logged_step(run.path());
    CHECK(list_checkpoints(run.path()).back() == checkpoint_path(run.path(), step));
    keep(fmt::format("evaluating step {}", step));
    return make_job({}).evaluate(model);
  };
  CHECK(train(toy, job) == 0);
  keep("all done");
  write_file(keep("renaming the best") / "best.safetensors.partial", final_checkpoint(run.path()));
  i64 stages = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(left.path())) {
    check_resumes(entry.path(), whole.path());
    ++stages;
  }
  CHECK(stages == 24 + 3 + 4 * 2 + 2 * 2 + 2);  // batches; evaluations; saved at 4, 5, 8, 10; logged at 4, 8; the end
}

TEST_CASE(
    "trainer: whatever error ends a run, every step that was finished is on the disk, and the message tells where") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const i64 batch : {0, 1, 2, 3, 9, 10, 16, 21, 23}) {
    CAPTURE(batch);
    const test::TemporaryFolder folder;
    Toy toy;
    toy.disturb = [&](const Batch& b, std::vector<LossTerm>&) {
      if (b.position == batch) throw std::runtime_error("out of luck");
    };
    const std::string message = failure(toy, make_job(folder.path()));
    const i64 done = batch / 2;
    if (done == 0) {
      CHECK(message == "out of luck");
      CHECK(contents(folder.path()).empty());
    } else {
      const std::string path = checkpoint_path(folder.path(), done).string();
      CHECK(message == fmt::format("out of luck; step {} is saved in {}, --resume continues", done, path));
      CHECK(timeless(folder.path()).size() == static_cast<size_t>(done + (done >= 4) + (done >= 8)));
    }
    check_resumes(folder.path(), whole.path());
  }
}

TEST_CASE("trainer: a picture that cannot be read, or a loss that is NaN, costs no step that was finished") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  class Torn : public Noise {
   public:
    Sample load(i64 epoch, i64 index) const override {
      TESSERA_CHECK(epoch < 2 || index != 3, "picture 3: cannot be decoded");
      return Noise::load(epoch, index);
    }
  };
  for (const i64 workers : {0, 2}) {
    const test::TemporaryFolder folder;
    Toy toy;
    Job job = make_job(folder.path());
    job.config.data.workers = workers;
    job.data = std::make_shared<Torn>();
    const std::string message = failure(toy, job);
    INFO(message);
    CHECK(contains(message, "picture 3: cannot be decoded; step "));
    CHECK(contains(message, list_checkpoints(folder.path()).back().string()));
    resume(folder.path());
    CHECK(timeless(folder.path()) == timeless(whole.path()));
  }
  for (const i64 batch : {12, 13}) {
    const test::TemporaryFolder folder;
    Toy toy;
    toy.disturb = [&](const Batch& b, std::vector<LossTerm>& terms) {
      if (b.position == batch) terms[0].value = terms[0].value * std::numeric_limits<double>::quiet_NaN();
    };
    const std::string message = failure(toy, make_job(folder.path()));
    INFO(message);
    CHECK(contains(message, "step 7, images noise"));
    CHECK(contains(message, "the weights were not updated; step 6 is saved in "));
    check_resumes(folder.path(), whole.path());
  }
}

TEST_CASE("trainer: an evaluation that fails costs no step, and is made up for when the run is resumed") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const i64 step : {4, 8, 12}) {
    CAPTURE(step);
    const test::TemporaryFolder folder;
    Toy toy;
    Job job = make_job(folder.path());
    job.evaluate = [&](Segmenter& model) {
      TESSERA_CHECK(logged_step(folder.path()) != step, "val.png: cannot be opened");
      return make_job({}).evaluate(model);
    };
    const std::string path = checkpoint_path(folder.path(), step).string();
    CHECK(failure(toy, job) ==
          fmt::format("val.png: cannot be opened; step {} is saved in {}, --resume continues", step, path));
    Toy again;  // fails again, and again nothing is lost
    job.resume = true;
    job.evaluate = [&](Segmenter&) -> std::optional<Scores> { fail("val.png: cannot be opened"); };
    CHECK(contains(failure(again, job), fmt::format("step {} is saved in {}", step, path)));
    check_resumes(folder.path(), whole.path());
  }
}

TEST_CASE("trainer: what was evaluated is not evaluated again when the run is resumed, and the best is remembered") {
  const test::TemporaryFolder folder;
  std::vector<i64> evaluated;
  const auto part = [&](i64 last, bool resumed) {
    Toy toy;
    Job job = make_job(folder.path());
    job.config.training.steps = last;
    job.resume = resumed;
    job.evaluate = [&](Segmenter&) -> std::optional<Scores> {
      evaluated.push_back(logged_step(folder.path()));
      return Scores{{"segm", {{"AP", evaluated.back() == 8 ? 0.5 : 0.25}}}, {"bbox", {{"AP", 0.75}}}};
    };
    CHECK(train(toy, job) == 0);
  };
  part(8, false);
  const std::string best = read_file(checkpoint_path(folder.path(), 8));
  part(8, true);
  const std::map<std::string, std::string> before = contents(folder.path());
  part(8, true);
  CHECK(contents(folder.path()) == before);  // nothing was left to do
  part(12, true);
  CHECK(evaluated == std::vector<i64>{4, 8, 12});
  CHECK(read_file(best_path(folder.path())) == best);
  const CheckpointInfo info = Checkpoint::open(checkpoint_path(folder.path(), 12)).info();
  CHECK(info.evaluated == 8);
  CHECK(info.best == 0.5);

  // Figures of another kind cannot be compared with those before.
  Toy toy;
  Job job = make_job(folder.path());
  job.resume = true;
  job.config.training.steps = 16;
  job.config.evaluation.metric = "bbox";
  job.evaluate = [&](Segmenter&) -> std::optional<Scores> { return Scores{{"bbox", {{"AP", 0.125}}}}; };
  CHECK(train(toy, job) == 0);
  CHECK(read_file(best_path(folder.path())) == read_file(checkpoint_path(folder.path(), 16)));
}

TEST_CASE("trainer: on a full disk the message tells what could not be saved and what is") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const i64 full_in_step : {1, 7}) {
    const test::TemporaryFolder folder;
    std::optional<test::FullDisk> full;
    Toy toy;
    toy.disturb = [&](const Batch& b, std::vector<LossTerm>&) {
      if (b.position / 2 + 1 == full_in_step) full.emplace(600);
    };
    const std::string message = failure(toy, make_job(folder.path()));
    full.reset();
    INFO(message);
    CHECK(contains(message, "cannot be written: File too large"));
    CHECK(contains(message, fmt::format("step {} could not be saved: ", full_in_step)));
    CHECK(contains(message, full_in_step == 1 ? "; there is no checkpoint" : "; step 5 is saved in "));
    check_resumes(folder.path(), whole.path());
  }
}

TEST_CASE("trainer: weights that an update made infinite are not saved") {
  const test::TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  job.config.training.steps = 1;
  job.config.schedule.warmup_steps = 0;
  job.config.optimizer.lr = 1e39;
  const std::string message = failure(toy, job);
  CHECK(contains(message, "checkpoint-00000001.safetensors: was not written: model.b"));
  CHECK(contains(message, "is not finite"));
  CHECK(list_checkpoints(folder.path()).empty());
}

TEST_CASE("trainer: a log that finds no room costs no step") {
  const test::TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  job.config.training.steps = 200;
  const auto checkpoint_size = [&] {
    const test::TemporaryFolder other;
    run_whole(other.path());
    return final_checkpoint(other.path()).size();
  };
  std::string message;
  {
    const test::FullDisk full(checkpoint_size() + 100);
    message = failure(toy, job);
  }
  INFO(message);
  CHECK(contains(message, "log.jsonl: cannot be written: File too large; step "));
  const i64 step = static_cast<i64>(toy.counter.item()) / 2;  // two batches each
  CHECK(list_checkpoints(folder.path()).back() == checkpoint_path(folder.path(), step));
  CHECK(read_file(folder / "log.jsonl").ends_with("}\n"));
}

TEST_CASE("trainer: a damaged checkpoint is passed over for the last whole one, and kept aside") {
  const test::TemporaryFolder whole, folder;
  run_whole(whole.path());
  Toy toy;
  toy.disturb = [](const Batch& b, std::vector<LossTerm>&) { TESSERA_CHECK(b.position < 18, "enough"); };
  failure(toy, make_job(folder.path()));
  const fs::path last = checkpoint_path(folder.path(), 9);
  write_file(last, read_file(last).substr(0, 500));
  check_resumes(folder.path(), whole.path());
  CHECK(read_file(last.string() + ".aside").size() == 500);

  const auto spoil = [&] {
    for (const fs::path& path : list_checkpoints(folder.path())) write_file(path, "");
    return contents(folder.path());
  };
  std::map<std::string, std::string> before = spoil();
  resume(folder.path());  // finished: the best is the last one, so there is nothing to do
  CHECK(contents(folder.path()) == before);
  write_file(best_path(folder.path()), "");
  before = spoil();
  Job job = make_job(folder.path());
  job.resume = true;
  CHECK(contains(failure(toy, job), "no checkpoint can be read: "));
  CHECK(contents(folder.path()) == before);
}

TEST_CASE("trainer: what else a killed run leaves behind does not matter") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const char* log : {"", "{\"event\":\"st", "{\"event\":\"step\",\"step\":1}\n", "\n\n[]\n"}) {
    const test::TemporaryFolder folder;
    write_file(folder / "log.jsonl", log);
    write_file(folder / "log.jsonl.part", "");
    fs::rename(folder / "log.jsonl.part", folder / "log.jsonl.partial");
    check_resumes(folder.path(), whole.path());
  }
}

TEST_CASE("trainer: a call that fails in its first step changes nothing") {
  const test::TemporaryFolder folder;
  run_whole(folder.path());
  const std::map<std::string, std::string> before = contents(folder.path());
  CHECK(before.contains("config.toml"));
  Toy toy;
  toy.disturb = [](const Batch&, std::vector<LossTerm>&) { throw std::runtime_error("not today"); };
  Job job = make_job(folder.path());
  CHECK(failure(toy, job) == "not today");  // one that would begin anew
  CHECK(contents(folder.path()) == before);
  job.resume = true;
  job.config.training.steps = 14;
  const std::string path = checkpoint_path(folder.path(), 12).string();
  CHECK(failure(toy, job) == fmt::format("not today; step 12 is saved in {}, --resume continues", path));
  CHECK(contents(folder.path()) == before);
  toy.disturb = {};
  job.resume = false;
  CHECK(train(toy, job) == 0);
  CHECK(read_file(folder / "config.toml") == to_toml(job.config));
  CHECK(timeless(folder.path()).size() == 18);
}

TEST_CASE("trainer: a signal lets the step finish and saves; resumed, the run ends as if nothing had happened") {
  const test::TemporaryFolder whole;
  run_whole(whole.path());
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
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

TEST_CASE("trainer: under nohup a run outlives its terminal") {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  const test::TemporaryFolder folder;
  Toy toy;
  toy.disturb = [](const Batch&, std::vector<LossTerm>&) { std::raise(SIGHUP); };
  CHECK(train(toy, make_job(folder.path())) == 0);
  const bool still_ignored = std::signal(SIGHUP, before) == SIG_IGN;
  CHECK(still_ignored);
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

TEST_CASE("trainer: resuming with another seed, other classes or fewer steps is an error that changes no file") {
  const test::TemporaryFolder folder;
  run_whole(folder.path());
  const std::map<std::string, std::string> before = contents(folder.path());
  Toy toy;
  const auto refused = [&](const auto& change) {
    Job job = make_job(folder.path());
    job.resume = true;
    change(job);
    return failure(toy, job);
  };
  CHECK(contains(refused([](Job& job) { job.config.training.seed = 2; }),
                 "a resumed run cannot change training.seed: 1 -> 2 (another seed)"));
  CHECK(contains(refused([](Job& job) { job.classes = {"signal"}; }), "other classes"));
  CHECK(contains(refused([](Job& job) { job.config.training.steps = 11; }), "has done 12 steps already"));
  CHECK(contents(folder.path()) == before);
}

TEST_CASE("trainer: without better figures the run ends, also when it is resumed in between and afterwards") {
  const test::TemporaryFolder whole, part;
  const auto run_in = [](const fs::path& folder, bool resumed, i64 fails_at, i64 patience) {
    Toy toy;
    toy.disturb = [&](const Batch&, std::vector<LossTerm>& terms) {
      if (fails_at > 0 && toy.contexts.back().step == fails_at) terms[1].value = terms[1].value * std::nan("");
    };
    Job job = make_job(folder);
    job.config.training.steps = 24;
    job.config.training.keep_checkpoints = 10;
    job.config.evaluation.patience = patience;
    job.resume = resumed;
    job.evaluate = [&](Segmenter&) -> std::optional<Scores> {  // 0.25 0.5 0.5 0.25 0.25 0.25
      const i64 step = logged_step(folder);
      return Scores{{"segm", {{"AP", step == 8 || step == 12 ? 0.5 : 0.25}}}};
    };
    if (fails_at > 0) {
      CHECK(contains(failure(toy, job), "--resume continues"));
    } else {
      CHECK(train(toy, job) == 0);
    }
  };
  run_in(whole.path(), false, 0, 2);
  CHECK(logged_step(whole.path()) == 16);
  CHECK(Checkpoint::open(checkpoint_path(whole.path(), 16)).info().no_better == 1);  // it precedes the evaluation
  const std::map<std::string, std::string> ended = contents(whole.path());
  run_in(whole.path(), true, 0, 2);
  CHECK(contents(whole.path()) == ended);

  run_in(part.path(), false, 10, 2);
  run_in(part.path(), true, 12, 2);
  run_in(part.path(), true, 0, 2);
  CHECK(timeless(part.path()) == timeless(whole.path()));
  CHECK(read_file(checkpoint_path(part.path(), 16)) == ended.at("checkpoint-00000016.safetensors"));

  run_in(whole.path(), true, 0, 0);  // it can go on
  CHECK(logged_step(whole.path()) == 24);
}

TEST_CASE("trainer: an epoch is as many pictures as are drawn, repeated ones among them") {
  struct Repeated : test::Noise {
    double repeats(i64) const override { return 2; }
  };
  const TemporaryFolder folder;
  Toy toy;
  Job job = make_job(folder.path());
  job.data = std::make_shared<Repeated>();
  train(toy, job);
  CHECK(toy.contexts.back().epoch == doctest::Approx(11 * 4 / 20.0));
}

TEST_CASE("trainer: a length in epochs ends after so many passes, is stored, and may grow when the run is resumed") {
  const test::TemporaryFolder folder;
  Job job = make_job(folder.path());
  const auto part = [&](double epochs, bool resume) {
    Toy toy;
    job.config.training.epochs = epochs;
    job.resume = resume;
    train(toy, job);
    return logged_step(folder.path());
  };
  CHECK(part(2, false) == 5);  // 10 pictures, 4 of them in an update
  const CheckpointInfo info = Checkpoint::open(checkpoint_path(folder.path(), 5)).info();
  CHECK(contains(info.config, "\nsteps = 5\nepochs = 2.0\n"));
  CHECK(part(3.2, true) == 8);
  CHECK_ERROR(part(1, true), "the run has done 8 steps already, training.steps cannot become 3");
}
