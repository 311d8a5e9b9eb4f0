// How the program ends where the world around it goes: signals, a closed pipe, standard output on a full disk or
// closed.
#include <cstdlib>

#include "tests/cli/program.h"
#include "train/checkpoint.h"
#include "train/signals.h"

namespace tessera {

using namespace test;

namespace {

// A line for the shell, with $tessera for the program; `code` as the shell tells it, stdout is the line's own affair.
Outcome shell(const std::string& line) {
  const TemporaryFolder folder;
  const fs::path err = folder / "stderr";
  const std::string program = (binary_dir() / "tessera").string();
  const int status = std::system(("tessera='" + program + "'; { " + line + "\n} 2>'" + err.string() + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), "", read_file(err)};
}

// A pipe that nobody reads.
struct ClosedPipe {
  int end = -1;

  ClosedPipe() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    close(ends[0]);
    end = ends[1];
  }
  ClosedPipe(const ClosedPipe&) = delete;
  ClosedPipe& operator=(const ClosedPipe&) = delete;
  ~ClosedPipe() { close(end); }
  std::string redirection() const { return " >&" + std::to_string(end); }
};

const std::string kFull = "tessera: standard output: cannot be written: No space left on device\n";

}  // namespace

TEST_CASE("endings: a pipe whose reader has gone ends the program without a word, also where SIGPIPE was ignored") {
  const ClosedPipe pipe;
  for (const char* before : {"", "trap '' PIPE; "})
    for (const char* command : {"info --ops", "--help", "info"}) {
      const Outcome outcome = shell(std::string(before) + "$tessera " + command + pipe.redirection());
      CHECK(outcome.code == 128 + SIGPIPE);
      CHECK(outcome.err.empty());
    }
}

TEST_CASE("endings: standard output on a full disk, or closed, is an error, and no file takes what was printed") {
  for (const char* command : {"info", "info --ops", "--help", "train --help"}) {
    const Outcome outcome = shell(std::string("$tessera ") + command + " >/dev/full");
    CHECK(outcome.code == 1);
    CHECK(outcome.err == kFull);
  }
  const TemporaryFolder folder;
  const std::string out = (folder / "set").string();
  const Outcome closed = shell("$tessera data shapes --train 1 --val 1 --size 32 --out '" + out + "' >&-");
  CHECK(closed.code == 1);
  CHECK(closed.err == "tessera: standard output: cannot be written: Bad file descriptor\n");
  for (const char* name : {"train", "val"})
    CHECK(nlohmann::json::accept(read_file(folder / "set" / ("instances_" + std::string(name) + ".json"))));
}

TEST_CASE("endings: a file named /dev/stdout follows what was printed, and nothing before it is lost") {
  const Workshop& w = workshop();
  const std::string shapes = (w.folder / "shapes").string(), out = (w.folder / "printed").string();
  write_file(w.folder / "none.json", "[]");
  write_file(out, "before\n");
  const Outcome outcome = shell("$tessera score --annotations " + shapes + "/instances_val.json --results " +
                                (w.folder / "none.json").string() + " --metric coco-segm --json /dev/stdout >>" + out);
  CHECK_MESSAGE(outcome.code == 0, outcome.err);
  const std::string text = read_file(out);
  CHECK(text.starts_with("before\n"));
  CHECK(text.find("AP") < text.find('{'));
  CHECK(nlohmann::json::accept(text.substr(text.find_first_of("{["))));
}

TEST_CASE("endings: a file that grows past the shell's limit is an error that names it") {
  const TemporaryFolder folder;
  const std::string out = (folder / "set").string();
  const Outcome outcome = shell("ulimit -f 4; $tessera data shapes --train 1 --val 1 --size 256 --out '" + out + "'");
  CHECK(outcome.code == 1);
  CHECK(outcome.err ==
        "tessera: " + out +
            "/train/000001.png: cannot be written: File too large; the previous file, if any, is unchanged\n");
  CHECK(fs::is_empty(folder / "set" / "train"));
}

TEST_CASE("endings: Ctrl-C and SIGTERM end a command with their number, one line and no temporary file") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const TemporaryFolder folder;
    const fs::path out = folder / "set";
    const Program program(folder.path(), {"data", "shapes", "--out", out.string(), "--train", "100000"});
    while (!fs::exists(out / "train" / "000003.png")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    program.send(number);
    const Outcome outcome = program.wait();
    CHECK(outcome.code == 128 + number);
    CHECK(outcome.err == std::string("tessera: stopped by ") +
                             (number == SIGINT    ? "SIGINT"
                              : number == SIGTERM ? "SIGTERM"
                                                  : "SIGHUP") +
                             "\n");
    CHECK(outcome.out.empty());
    for (const fs::directory_entry& entry : fs::directory_iterator(out / "train"))
      CHECK(entry.path().extension() == ".png");
  }
}

TEST_CASE("endings: a signal is noted while a guard lives, and those that come again by themselves end nothing") {
  const SignalGuard guard;
  CHECK(SignalGuard::received() == 0);
  for (const int number : {SIGPIPE, SIGPIPE, SIGHUP, SIGHUP}) {
    raise(number);
    CHECK(SignalGuard::received() == number);
  }
  raise(SIGTERM);
  raise(SIGPIPE);
  raise(SIGHUP);
  CHECK(SignalGuard::received() == SIGTERM);
}

TEST_CASE("endings: training saves when its terminal or the reader of its output has gone") {
  const Workshop& w = workshop();
  REQUIRE(run(w.train("listened")).code == 0);

  CHECK(w.interrupted("hung", SIGHUP, 2).code == 128 + SIGHUP);
  const ClosedPipe pipe;
  const Outcome alone = shell("$tessera train '" + w.config.string() + "' --out '" + (w.folder / "alone").string() +
                              "'" + pipe.redirection());
  CHECK(alone.code == 128 + SIGPIPE);
  for (const std::string name : {"hung", "alone"}) {
    CHECK(!w.log(name).empty());
    CHECK(w.log(name).size() < w.log("listened").size());
    CHECK(!list_checkpoints(w.folder / name).empty());
    CHECK(run(w.train(name, {"--resume"})).code == 0);
    CHECK(w.log(name) == w.log("listened"));
  }
}

}  // namespace tessera
