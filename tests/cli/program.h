// The program from outside, as tests start it, and a small data set and configuration for it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tensor/dtype.h"
#include "tensor/file.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

extern char** environ;

namespace tessera::test {

using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

struct Outcome {
  int code = 0;  // 128 + signal when it was killed
  std::string out, err;
};

// Where the program runs, and what its environment has beside ours.
struct Surroundings {
  fs::path directory = ".";
  Arguments environment;  // "NAME=value"
};

class Program {
 public:
  // Output goes to files in `folder`.
  Program(const fs::path& folder, const Arguments& arguments, const std::string& name = "tessera",
          Surroundings surroundings = {})
      : out_(folder / "stdout"), err_(folder / "stderr") {
    Arguments all{(binary_dir() / name).string()};  // an absolute name stays
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& argument : all) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&actions, 2, err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addchdir_np(&actions, surroundings.directory.c_str());
    std::vector<char*> environment;
    for (std::string& entry : surroundings.environment) environment.push_back(entry.data());
    for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);  // of two entries the first counts
    environment.push_back(nullptr);
    REQUIRE(posix_spawn(&id_, pointers[0], &actions, nullptr, pointers.data(), environment.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  void send(int number) const { kill(id_, number); }
  pid_t id() const { return id_; }
  Outcome wait() const {
    int status = 0;
    waitpid(id_, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out_), read_file(err_)};
  }

 private:
  fs::path out_, err_;
  pid_t id_ = 0;
};

inline Outcome run(const Arguments& arguments, const std::string& name = "tessera", Surroundings surroundings = {}) {
  const TemporaryFolder folder;
  return Program(folder.path(), arguments, name, std::move(surroundings)).wait();
}

inline Outcome succeeds(const Arguments& arguments) {
  Outcome outcome = run(arguments);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return outcome;
}

// A data set of a few small shapes and a configuration that trains on it, made once.
struct Workshop {
  TemporaryFolder folder;
  fs::path config = folder / "tiny.toml";

  Workshop() {
    succeeds({"data", "shapes", "--out", (folder / "shapes").string(), "--train", "12", "--val", "4", "--size", "64"});
    const std::string shapes = (folder / "shapes").string();
    write_file(config,
               "[model]\nnum_masks = 8\nkernel_dim = 16\nbackbone.kind = \"tiny\"\nbackbone.norm = \"batch\"\n"
               "encoder.channels = 16\ndecoder.depth = 1\ndecoder.width = 16\n"
               "[data]\ntrain_annotations = \"" +
                   shapes + "/instances_train.json\"\ntrain_images = \"" + shapes + "/train\"\nval_annotations = \"" +
                   shapes + "/instances_val.json\"\nval_images = \"" + shapes +
                   "/val\"\n[input]\nshortest = 48\nlongest = 64\n[augment]\nshortest = [32, 48]\nlongest = 64\n"
                   "[optimizer]\nlr = 1e-3\n[schedule]\nwarmup_steps = 2\n"
                   "[training]\nsteps = 8\nbatch_size = 2\ncheckpoint_every = 3\n[evaluation]\nevery = 4\n");
  }
  Arguments train(const std::string& out, const Arguments& more = {}) const { return train(config, out, more); }
  Arguments train(const fs::path& of, const std::string& out, const Arguments& more) const {
    Arguments arguments{"train", of.string(), "--out", (folder / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  // The log of a run without what depends on the clock.
  Arguments log(const std::string& out) const {
    std::istringstream lines(read_file(folder / out / "log.jsonl"));
    Arguments result;
    for (std::string line; std::getline(lines, line);) {
      nlohmann::ordered_json json = nlohmann::ordered_json::parse(line);
      for (const char* key : {"ms", "images_per_s", "memory_mb", "waiting_ms", "rank_images_per_s", "seconds"})
        json.erase(key);
      result.push_back(json.dump());
    }
    return result;
  }
  // Starts a training run and sends it a signal once its log has so many lines.
  Outcome interrupted(const std::string& out, int number, i64 lines) const {
    return interrupted(config, out, number, lines);
  }
  Outcome interrupted(const fs::path& of, const std::string& out, int number, i64 lines) const {
    const Program program(folder.path(), train(of, out, {}));
    for (int i = 0; i < 6000; ++i) {
      const fs::path log = folder / out / "log.jsonl";
      const std::string text = fs::exists(log) ? read_file(log) : "";
      if (std::count(text.begin(), text.end(), '\n') >= lines) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    program.send(number);
    return program.wait();
  }
};

inline const Workshop& workshop() {
  static const Workshop shared;
  return shared;
}

// A run of two steps, made once.
inline const std::string& trained() {
  static const std::string folder = [] {
    succeeds(workshop().train("drawn", {"--set", "training.steps=2"}));
    return (workshop().folder / "drawn").string();
  }();
  return folder;
}

inline void check_fails(const Arguments& arguments, int code, const std::string& part) {
  const Outcome outcome = run(arguments);
  INFO("stderr: ", outcome.err);
  CHECK(outcome.code == code);
  CHECK(outcome.err.starts_with("tessera: "));
  CHECK(outcome.err.find(part) != std::string::npos);
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
}

}  // namespace tessera::test
