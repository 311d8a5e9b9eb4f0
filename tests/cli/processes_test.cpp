// Runs of several processes, as mpirun starts them.
#include <fstream>
#include <iterator>

#include "tests/cli/program.h"
#include "train/checkpoint.h"
#include "train/communicator.h"

namespace tessera::test {
namespace {

bool can_run() {
  static const bool can = has_mpi() && std::system("command -v mpirun >/dev/null") == 0;
  if (!can) MESSAGE("left out, there is no MPI: ", mpi_support());
  return can;
}

// What begins a command line of mpirun; the program of each process has one thread.
const Arguments kMpirun = {"mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"};
const Surroundings kOneThread = {.environment = {"OMP_NUM_THREADS=1"}};

Program start(const fs::path& folder, i64 count, const Arguments& arguments, const std::string& name = "tessera") {
  Arguments all = kMpirun;
  for (const std::string& word : {std::string("-np"), std::to_string(count), (binary_dir() / name).string()})
    all.push_back(word);
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Program(folder, all, "/usr/bin/env", kOneThread);
}

Outcome run_processes(i64 count, const Arguments& arguments, const std::string& name = "tessera") {
  const TemporaryFolder folder;
  return start(folder.path(), count, arguments, name).wait();
}

std::vector<double> losses(const std::string& out) {
  std::vector<double> result;
  for (const std::string& line : workshop().log(out))
    if (const auto json = nlohmann::json::parse(line); json.contains("loss")) result.push_back(json["loss"]);
  return result;
}

void check_close(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
}

// A rate at which rounding does not grow: where a gradient is all but zero AdamW follows its sign.
const Arguments kAccumulate = {"--set", "training.batch_size=3", "--set", "training.accumulate=2",
                               "--set", "optimizer.lr=1e-4"};

TEST_CASE("processes: two of the program train as one does, with batch normalisation and accumulated batches") {
  if (!can_run()) return;
  succeeds(workshop().train("ranks_alone", kAccumulate));
  const Outcome two = run_processes(2, workshop().train("ranks_two", kAccumulate));
  REQUIRE_MESSAGE(two.code == 0, two.err);
  check_close(losses("ranks_two"), losses("ranks_alone"));
  CHECK(two.out.find("2 processes, rank 0 (") != std::string::npos);
  CHECK(two.out.find("1 threads each") != std::string::npos);
  const std::string line = read_file(workshop().folder / "ranks_two" / "log.jsonl");
  CHECK(nlohmann::json::parse(line.substr(0, line.find('\n')))["waiting_ms"].size() == 2);

  run_processes(2, workshop().train("ranks_two_again", kAccumulate));
  const auto end = [](const std::string& out) { return read_file(checkpoint_path(workshop().folder / out, 8)); };
  CHECK(end("ranks_two_again") == end("ranks_two"));
  CHECK(losses("ranks_two_again") == losses("ranks_two"));
}

TEST_CASE("processes: weights that a fixed normalisation is folded into have their gradients summed, too") {
  if (!can_run()) return;
  const Arguments frozen = {"--set", "model.backbone.norm=\"frozen\"", "--set", "optimizer.lr=1e-4"};
  succeeds(workshop().train("ranks_folded_alone", frozen));
  const Outcome two = run_processes(2, workshop().train("ranks_folded", frozen));
  REQUIRE_MESSAGE(two.code == 0, two.err);
  check_close(losses("ranks_folded"), losses("ranks_folded_alone"));
}

TEST_CASE("processes: two of the program evaluate to the digits of one") {
  if (!can_run()) return;
  const Arguments arguments{"eval", "--checkpoint", trained(), "--json"};
  const auto figures = [&](i64 count) {
    const TemporaryFolder folder;
    Arguments all = arguments;
    all.push_back((folder / "figures.json").string());
    const Outcome outcome = count == 1 ? run(all) : run_processes(count, all);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return read_file(folder / "figures.json");
  };
  CHECK(figures(3) == figures(1));
}

// The processes that mpirun has started, in the order of their ranks.
std::vector<pid_t> children(pid_t parent) {
  std::vector<pid_t> found;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) continue;
    std::istringstream rest(text.substr(name_end + 1));
    char state = 0;
    pid_t of = 0;
    if (rest >> state >> of && of == parent) found.push_back(std::stoi(name));
  }
  std::ranges::sort(found);
  return found;
}

// A long run of two, of which the second rank gets a signal once some steps are done.
struct Disturbed {
  Outcome outcome;
  double seconds = 0;  // from the signal to the end

  Disturbed(const std::string& out, int signal) {
    const TemporaryFolder folder;
    const Program program = start(
        folder.path(), 2, workshop().train(out, {"--set", "training.steps=100000", "--set", "evaluation.every=0"}));
    const fs::path log = workshop().folder / out / "log.jsonl";
    for (int i = 0; i < 6000; ++i) {
      const std::string text = fs::exists(log) ? read_file(log) : "";
      if (std::ranges::count(text, '\n') >= 5) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const std::vector<pid_t> ranks = children(program.id());
    REQUIRE(ranks.size() == 2);
    const auto sent = std::chrono::steady_clock::now();
    kill(ranks[1], signal);
    outcome = program.wait();
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - sent).count();
  }
};

void check_goes_on(const std::string& out) {
  const auto step = [&] { return last_checkpoint(workshop().folder / out)->info().step; };
  const i64 before = step();
  CHECK(before > 0);
  const Arguments more{"--resume", "--set", fmt::format("training.steps={}", before + 2)};
  const Outcome outcome = run_processes(2, workshop().train(out, more));
  CHECK_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(step() == before + 2);
}

TEST_CASE("processes: SIGTERM to one rank ends all behind a checkpoint, with its exit code") {
  if (!can_run()) return;
  const Disturbed run("ranks_terminated", SIGTERM);
  CHECK(run.outcome.code == 128 + SIGTERM);
  CHECK(run.outcome.out.find("stopped by signal 15; --resume continues") != std::string::npos);
  check_goes_on("ranks_terminated");
}

TEST_CASE("processes: a rank that is killed ends all within seconds, and a restart continues") {
  if (!can_run()) return;
  const Disturbed run("ranks_killed", SIGKILL);
  CHECK(run.outcome.code != 0);
  CHECK(run.seconds < 30);
  CHECK(run.outcome.err.find("rank 1") != std::string::npos);  // mpirun's own words
  check_goes_on("ranks_killed");
}

TEST_CASE("processes: a rank that stands still ends all within 30 seconds, after the first has saved") {
  if (!can_run()) return;
  const Disturbed run("ranks_stopped", SIGSTOP);
  CHECK(run.outcome.code == 1);
  CHECK(run.seconds < 30);
  CHECK(run.outcome.err.find("has not been heard of for 12 s") != std::string::npos);
  CHECK(run.outcome.err.find("is saved in") != std::string::npos);
  check_goes_on("ranks_stopped");
}

TEST_CASE("processes: a configuration that differs, and data that one of them lacks, end all with rank and host") {
  if (!can_run()) return;
  const TemporaryFolder folder;
  Arguments own = workshop().train("ranks_differs");
  // Two programs of one launch: the second has another option.
  Arguments all = kMpirun;
  const auto program = [&](const Arguments& more) {
    for (const char* word : {"-np", "1"}) all.push_back(word);
    all.push_back((binary_dir() / "tessera").string());
    all.insert(all.end(), own.begin(), own.end());
    all.insert(all.end(), more.begin(), more.end());
  };
  SUBCASE("a configuration") {
    program({});
    all.push_back(":");
    program({"--set", "optimizer.lr=0.5"});
    const Outcome outcome = Program(folder.path(), all, "/usr/bin/env", kOneThread).wait();
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("rank 1 (") != std::string::npos);
    CHECK(outcome.err.find("has another configuration than rank 0 (") != std::string::npos);
    CHECK(outcome.err.find("lr = 0.5") != std::string::npos);
  }
  SUBCASE("data") {
    program({});
    all.push_back(":");
    program({"--set", "data.train_annotations=nowhere.json"});
    const Outcome outcome = Program(folder.path(), all, "/usr/bin/env", kOneThread).wait();
    CHECK(outcome.code == 1);
    CHECK(outcome.err.find("nowhere.json") != std::string::npos);
    CHECK(outcome.err.find("rank 1 (") != std::string::npos);
  }
}

}  // namespace
}  // namespace tessera::test
