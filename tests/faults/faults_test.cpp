// Every command under faults: each call that touches a file fails or kills the program in turn, each input is missing
// or cut in turn. After each fault what was on disk before is whole, the error is one line that names the file, and the
// same command once more (training: --resume) ends with the bytes of the undisturbed one. Whatever is not so is a loss.
//
// By default a sample, evenly over all commands, calls and kinds; TESSERA_FAULTS=all takes every one (./run faults).
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "tests/cli/program.h"
#include "train/checkpoint.h"

namespace tessera {

using namespace test;

namespace {

constexpr size_t kSample = 300;

bool every_fault() {
  return std::getenv("TESSERA_FAULTS") != nullptr;
}

using Json = nlohmann::json;
using Files = std::map<std::string, std::string>;  // content by path below the working folder

Files files_below(const fs::path& folder) {
  Files files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  return files;
}

// write_file would wait for the disk.
void put(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

void restore(const fs::path& folder, const Files& files) {
  fs::remove_all(folder);
  for (const auto& [name, content] : files) {
    fs::create_directories((folder / name).parent_path());
    put(folder / name, content);
  }
}

std::string name_of(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  if (name.ends_with(".partial")) name.erase(name.size() - 8);
  return name;
}

bool is_temporary(const std::string& path) {
  return path.ends_with(".partial");
}
bool is_log(const std::string& path) {
  return name_of(path) == "log.jsonl";
}
bool is_checkpoint(const std::string& path) {
  return name_of(path).starts_with("checkpoint-") || name_of(path) == "best.safetensors";
}

// The complete lines of a log without what depends on the clock.
Arguments log_lines(const std::string& text) {
  Arguments lines;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(text.substr(begin, end - begin), nullptr, false);
    if (json.is_object())
      for (const char* key : {"ms", "images_per_s", "memory_mb", "seconds"}) json.erase(key);
    lines.push_back(json.dump());
  }
  return lines;
}

bool same(const std::string& path, const std::string& a, const std::string& b) {
  return is_log(path) ? log_lines(a) == log_lines(b) : a == b;
}

i64 steps_in(const std::string& log) {
  i64 steps = 0;
  for (const std::string& line : log_lines(log)) steps += line.starts_with("{\"event\":\"step\"");
  return steps;
}

// The newest checkpoint of a run's folder, by name; 0: none.
i64 newest_checkpoint(const Files& files, const std::string& run) {
  i64 newest = 0;
  for (const auto& [path, content] : files)
    if (path.starts_with(run + "/checkpoint-") && !is_temporary(path))
      newest = std::max<i64>(newest, std::stoll(path.substr(run.size() + 12, 8)));
  return newest;
}

// A call as the injector records it, and how many of the same came before.
struct Call {
  std::string operation, path;
  i64 earlier = 0;

  // The injector's environment for this call to go wrong. Calls are told apart by what they do, not by their place
  // among all, since a command may read two files at once.
  Arguments goes_wrong(const std::string& kind) const {
    return {fmt::format("FAULTS_CALL={} {}", operation, path), fmt::format("FAULTS_AT={}", earlier + 1),
            "FAULTS_AS=" + kind};
  }
};

// A command with the files it finds, the calls it makes and the files it leaves.
struct Scenario {
  std::string name;
  Arguments command;
  Arguments again;  // after a fault
  std::string run;  // training: its folder
  Files before, after;
  std::vector<Call> calls;

  // Of a run stopped after the given number of calls: the newest checkpoint that was in place.
  i64 saved_by(i64 number) const {
    Files files = before;
    for (i64 i = 0; i < number; ++i)
      if (calls[static_cast<size_t>(i)].operation == "rename") files[calls[static_cast<size_t>(i)].path] = "";
    return newest_checkpoint(files, run);
  }
  i64 logged_by(i64 number) const {
    return std::count_if(calls.begin(), calls.begin() + number,
                         [&](const Call& c) { return c.operation == "write" && c.path == run + "/log.jsonl"; });
  }
};

struct Fault {
  const Scenario* scenario;
  i64 call;          // from 1; 0: an input file is changed before the program starts
  std::string kind;  // as the injector's; or gone, half, empty
  std::string operation, path;

  std::string str() const {
    const std::string what = call > 0 ? fmt::format("call {}, {} {}", call, operation, path) : path;
    return fmt::format("{}: {} ({})", scenario->name, what, kind);
  }
  // What a training run was doing when it was killed. Between the backward pass and the log no file is touched.
  std::string stage() const {
    const bool training = !scenario->run.empty() && kind == "kill" && scenario->logged_by(call - 1) > 0;
    if (!training) return "";
    if (path.starts_with("shapes/val")) return "in evaluation";
    if (is_log(path)) return operation == "write" ? "after backward" : "";
    if (!is_checkpoint(path)) return operation == "sync" || operation == "unlink" ? "after saving" : "";
    return operation == "rename" ? "while renaming" : operation == "unlink" ? "after saving" : "while saving";
  }
};

// A folder with a data set, a configuration, a trained run, results and weights, for the scenarios to begin with.
class WorkingFolder {
 public:
  WorkingFolder() {
    run({"data", "shapes", "--out", "shapes", "--train", "4", "--val", "2", "--size", "64"});
    write_file(folder_ / "tiny.toml",
               "[model]\nnum_masks = 8\nkernel_dim = 16\nbackbone.kind = \"tiny\"\nbackbone.norm = \"batch\"\n"
               "encoder.channels = 16\ndecoder.depth = 1\ndecoder.width = 16\n"
               "[input]\nshortest = 48\nlongest = 64\n[augment]\nshortest = [32, 48]\nlongest = 64\n"
               "[optimizer]\nlr = 1e-3\n[schedule]\nwarmup_steps = 2\n[evaluation]\nevery = 2\n"
               "[training]\nsteps = 4\nbatch_size = 2\ncheckpoint_every = 3\n"
               "[data]\nworkers = 0\ntrain_annotations = \"shapes/instances_train.json\"\n"
               "train_images = \"shapes/train\"\nval_annotations = \"shapes/instances_val.json\"\n"
               "val_images = \"shapes/val\"\n");
    run({"train", "tiny.toml", "--out", "run"});
    run({"export", "--checkpoint", "run", "theirs.safetensors"});
    run({"predict", "--checkpoint", "run", "--out", "found", "--annotations", "shapes/instances_val.json",
         "shapes/val"});
    files_ = files_below(folder_.path());
  }

  // Runs the command once undisturbed. What it makes stands there before as something older, unless `fresh`.
  Scenario scenario(const std::string& name, const Arguments& command, bool fresh = false) const {
    Scenario scenario{name, command, command, "", files_, {}, {}};
    record(scenario);
    if (fresh) return scenario;
    for (const auto& [path, content] : scenario.after)
      if (!files_.contains(path) || files_.at(path) != content) scenario.before[path] = "older\n";
    record(scenario);
    return scenario;
  }
  Scenario training() const {
    Scenario scenario = this->scenario("train", {"train", "tiny.toml", "--out", "new"}, true);
    scenario.again.push_back("--resume");
    scenario.run = "new";
    return scenario;
  }
  // `training` continued, killed before it logged its last step.
  Scenario resuming(const Scenario& training) const {
    i64 at = 0;
    for (size_t i = 0; i < training.calls.size(); ++i)
      if (training.logged_by(static_cast<i64>(i)) < training.logged_by(static_cast<i64>(training.calls.size())) - 1)
        at = static_cast<i64>(i) + 1;
    const TemporaryFolder folder;
    restore(folder / "work", files_);
    const Outcome killed =
        start(folder.path(), training.command, training.calls[static_cast<size_t>(at - 1)].goes_wrong("kill"));
    REQUIRE(killed.code == 128 + SIGKILL);
    Scenario scenario{"train --resume", training.again, training.again, "new", files_below(folder / "work"), {}, {}};
    record(scenario);
    return scenario;
  }

  // The command in folder/work, below the injector.
  static Outcome start(const fs::path& folder, const Arguments& command, Arguments environment = {}) {
    const std::string library = (binary_dir() / "libtessera_injector.so").string();
    environment.insert(environment.end(), {"LD_PRELOAD=" + library, "FAULTS_BELOW=" + (folder / "work").string(),
                                           "OMP_NUM_THREADS=1", "GOMP_SPINCOUNT=1"});
    return Program(folder, command, "tessera", {folder / "work", environment}).wait();
  }

 private:
  void run(const Arguments& command) const {
    const Outcome outcome = test::run(command, "tessera", {folder_.path(), {"OMP_NUM_THREADS=1", "GOMP_SPINCOUNT=1"}});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  }
  static void record(Scenario& scenario) {
    const TemporaryFolder folder;
    restore(folder / "work", scenario.before);
    const fs::path record = folder / "calls";
    const Outcome outcome = start(folder.path(), scenario.command, {"FAULTS_RECORD=" + record.string()});
    REQUIRE_MESSAGE(outcome.code == 0, scenario.name, ": ", outcome.err);
    scenario.after = files_below(folder / "work");
    scenario.calls.clear();
    std::istringstream lines(read_file(record));
    std::map<std::string, i64> seen;
    for (Call call; lines >> call.operation && std::getline(lines >> std::ws, call.path);) {
      call.earlier = seen[call.operation + " " + call.path]++;
      scenario.calls.push_back(call);
    }
  }

  TemporaryFolder folder_;
  Files files_;
};

const std::vector<std::string>& kinds_for(const std::string& operation) {
  static const std::map<std::string, std::vector<std::string>> kKinds = {
      {"open", {"enoent", "kill", "int"}},
      {"read", {"eio"}},
      {"rename", {"eio", "kill", "int"}},
      {"unlink", {"eio", "kill", "int"}},
  };
  static const std::vector<std::string> kOutput = {"enospc", "eio", "kill", "int"};
  const auto found = kKinds.find(operation);
  return found == kKinds.end() ? kOutput : found->second;
}

std::vector<Fault> faults_of(const Scenario& scenario) {
  std::vector<Fault> faults;
  const auto same_write = [&](size_t a, size_t b) {
    return b < scenario.calls.size() && scenario.calls[a].operation == "write" &&
           scenario.calls[b].operation == "write" && scenario.calls[a].path == scenario.calls[b].path;
  };
  for (size_t begin = 0, end; begin < scenario.calls.size(); begin = end) {
    // A checkpoint is some hundred writes in a row: the first, the middle and the last stand for them.
    for (end = begin + 1; same_write(begin, end);) ++end;
    for (size_t i = begin; i < end; ++i)
      if (every_fault() || i == begin || i == (begin + end) / 2 || i == end - 1)
        for (const std::string& kind : kinds_for(scenario.calls[i].operation))
          faults.push_back(
              {&scenario, static_cast<i64>(i) + 1, kind, scenario.calls[i].operation, scenario.calls[i].path});
  }
  std::set<std::string> inputs;
  for (const Call& call : scenario.calls)
    if (call.operation == "open" && scenario.before.contains(call.path)) inputs.insert(call.path);
  for (const std::string& path : inputs)
    for (const char* kind : {"gone", "half", "empty"}) faults.push_back({&scenario, 0, kind, "", path});
  return faults;
}

// A sample, and of each command every stage in which training was killed. Multiples of the golden ratio, modulo 1, are
// spread evenly however they are grouped, so nothing resonates with the order of calls and kinds.
std::vector<Fault> sample(const std::vector<Fault>& all, size_t count) {
  std::vector<Fault> chosen;
  std::set<std::string> stages;
  for (size_t i = 0; i < all.size(); ++i) {
    const double place = std::fmod(static_cast<double>(i) * 0.6180339887498949, 1);
    const bool drawn = place * static_cast<double>(all.size()) < static_cast<double>(count);
    const std::string stage = all[i].stage();
    if (drawn || (!stage.empty() && stages.insert(all[i].scenario->name + stage).second)) chosen.push_back(all[i]);
  }
  return chosen;
}

// "66 eio, 70 kill": how many faults have each name that is not empty.
template <class Name>
std::string counts(const std::vector<Fault>& faults, Name&& name) {
  std::map<std::string, int> number;
  for (const Fault& fault : faults) ++number[name(fault)];
  number.erase("");
  Arguments parts;
  for (const auto& [key, count] : number) parts.push_back(fmt::format("{} {}", count, key));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Everything that is wrong after a fault.
class Verdict {
 public:
  Verdict(const Fault& fault, const fs::path& folder) : fault_(fault), scenario_(*fault.scenario), folder_(folder) {
    restore(folder / "work", scenario_.before);
    if (fault.call > 0) {
      judge(WorkingFolder::start(folder, scenario_.command,
                                 scenario_.calls[static_cast<size_t>(fault.call - 1)].goes_wrong(fault.kind)));
    } else {
      const fs::path input = folder / "work" / fault.path;
      const std::string content = scenario_.before.at(fault.path);
      fs::remove(input);
      if (fault.kind == "half") put(input, content.substr(0, content.size() / 2));
      if (fault.kind == "empty") put(input, "");
      judge(WorkingFolder::start(folder, scenario_.command));
      put(input, content);
    }
    if (!finished_) repeat();
  }
  const std::vector<std::string>& losses() const { return losses_; }

 private:
  void lose(const std::string& what) { losses_.push_back(fmt::format("{}: {}", fault_.str(), what)); }

  void judge(const Outcome& outcome) {
    const Files now = files_below(folder_ / "work");
    judge_end(outcome);
    finished_ = outcome.code == 0;
    if (finished_ && may_be_missing()) {
      const bool told = (outcome.out + outcome.err).find(name_of(fault_.path)) != std::string::npos;
      const bool damaged = fault_.kind != "gone" && fault_.kind != "enoent" && !is_log(fault_.path);
      if (damaged && !told && another_serves()) lose("a damaged input was passed over without a word");
      if (scenario_.name == "report" && !now.at("run/report.html").ends_with("</html>\n")) lose("half a report");
      if (scenario_.run.empty() || name_of(fault_.path) == "best.safetensors" || !is_checkpoint(fault_.path)) return;
    } else if (finished_ && fault_.call == 0) {
      return lose("a damaged input was taken for a whole one");
    }
    judge_whole(now, outcome.code == 128 + SIGKILL);
    if (finished_) judge_finished(now);
    if (!scenario_.run.empty()) judge_saved(now, outcome.code);
    if (one_picture_less()) judge_rest(now);
  }

  // Exit code and last line.
  void judge_end(const Outcome& outcome) {
    const std::string& kind = fault_.kind;
    const int wanted = kind == "kill" ? 128 + SIGKILL : kind == "int" ? 128 + SIGINT : 1;
    const bool harmless = outcome.code == 0 && wanted == 1;  // then what is there is compared
    if (outcome.code != wanted && !harmless) lose(fmt::format("exit code {}: {}", outcome.code, outcome.err));
    const bool wound_up = scenario_.name == "predict" && outcome.err.starts_with("tessera: predict: stopped after ");
    if (outcome.code == 128 + SIGINT && scenario_.run.empty() && outcome.err != "tessera: stopped by SIGINT\n" &&
        !wound_up)
      lose("another last line: " + outcome.err);
    if (outcome.code != 1) return;
    std::istringstream lines(outcome.err);
    for (std::string line; std::getline(lines, line);)
      if (!line.starts_with("tessera: ")) lose("noise on stderr: " + line);
    // The disk stays full, and that a folder was not synced is no error: the next file that is written tells.
    const bool next_tells = kind == "enospc" && fault_.operation == "sync" &&
                            outcome.err.find(": cannot be written: ") != std::string::npos;
    const bool named = next_tells || outcome.err.find(name_of(fault_.path)) != std::string::npos;
    if (!named && !(fault_.call == 0 && is_settings())) lose("an error without the file: " + outcome.err);
  }
  bool is_settings() const { return name_of(fault_.path) == "tiny.toml"; }  // less of it may well be complete

  // What a killed run leaves is read as far as it goes, and report says what it did not find. In place of a checkpoint
  // that is damaged or missing another one serves, with a line that says so. A resumed run need not meet every picture.
  bool may_be_missing() const {
    const bool input = fault_.call == 0 || fault_.operation == "open" || fault_.operation == "read";
    const bool not_met = scenario_.name == "train --resume" && fault_.path.starts_with("shapes/train");
    return input && (another_serves() || is_log(fault_.path) || is_settings() || not_met);
  }
  bool another_serves() const { return scenario_.name == "report" || is_checkpoint(fault_.path); }

  // predict goes on after a picture that cannot be read, and writes what it has when it is asked to end.
  bool may_find_less() const { return scenario_.name == "predict" && (fault_.kind == "int" || one_picture_less()); }
  bool one_picture_less() const {
    return scenario_.name == "predict" && fault_.path.starts_with("shapes/val/") && fault_.kind != "kill" &&
           fault_.kind != "int";
  }
  void judge_rest(const Files& now) {
    for (const auto& [path, content] : scenario_.after)
      if (path.starts_with("pictures/") && path.ends_with(".png") && name_of(path) != name_of(fault_.path) &&
          (!now.contains(path) || now.at(path) != content))
        lose("predict did not go on to " + path);
    const Json found = Json::parse(now.at("pictures/results.json"), nullptr, false);
    if (!found.is_array()) return lose("predict wrote no results.json");
    const Json all = Json::parse(scenario_.after.at("pictures/results.json"));
    for (const Json& object : found)
      if (std::find(all.begin(), all.end(), object) == all.end()) return lose("results.json has other objects");
  }

  // Each file is the old one or the new one.
  void judge_whole(const Files& now, bool killed) {
    for (const auto& [path, content] : now) {
      if (is_temporary(path)) {
        if (!killed && !(fault_.operation == "unlink" && name_of(fault_.path) == name_of(path)))
          lose(path + " was left");
      } else if (!whole(path, content)) {
        lose(path + " is neither the old nor the new file");
      }
    }
    for (const auto& [path, content] : scenario_.before)
      if (!now.contains(path) && scenario_.after.contains(path) && !(fault_.kind == "gone" && path == fault_.path))
        lose(path + " has vanished");
  }
  bool whole(const std::string& path, const std::string& content) const {
    if (fault_.call == 0 && path.starts_with(fault_.path)) return true;  // the damaged one, perhaps set aside
    for (const Files* known : {&scenario_.before, &scenario_.after})
      if (known->contains(path) && same(path, known->at(path), content)) return true;
    if (may_find_less() && path.starts_with("pictures/") && path.ends_with(".json"))
      return Json::accept(content);  // of its objects: judge_rest
    if (may_find_less() && path == "pictures/counts.csv") {
      std::istringstream lines(content);
      for (std::string line; std::getline(lines, line);)
        if (('\n' + scenario_.after.at(path)).find('\n' + line + '\n') == std::string::npos) return false;
      return true;
    }
    if (is_log(path) && scenario_.after.contains(path)) {
      const Arguments lines = log_lines(content), all = log_lines(scenario_.after.at(path));
      return lines.size() <= all.size() && std::equal(lines.begin(), lines.end(), all.begin());
    }
    if (scenario_.run.empty() || !is_checkpoint(path)) return false;
    try {  // saved at another step than those of the undisturbed run: what it holds shows when it is resumed
      Checkpoint::open(folder_ / "work" / path);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  // Training: what was saved is still there, and what can be saved is.
  void judge_saved(const Files& now, int code) {
    const i64 newest = newest_checkpoint(now, scenario_.run);
    if (fault_.call > 0 && newest < scenario_.saved_by(fault_.call - 1)) lose("a checkpoint has vanished");
    const auto log = now.find(scenario_.run + "/log.jsonl");
    const i64 steps = log == now.end() ? 0 : steps_in(log->second);
    const bool evaluating = fault_.path.starts_with("shapes/val");
    const bool can_save = fault_.kind != "enospc" && !(fault_.kind == "eio" && is_checkpoint(fault_.path));
    if (code == 128 + SIGKILL ? evaluating && steps > newest : can_save && steps > newest)
      lose(fmt::format("{} steps are logged, {} can be continued", steps, newest));
  }

  // The same command once more gives what it gives undisturbed.
  void repeat() {
    const Outcome outcome = WorkingFolder::start(folder_, scenario_.again);
    const Files now = files_below(folder_ / "work");
    if (outcome.code != 0) return lose(fmt::format("afterwards, exit code {}: {}", outcome.code, outcome.err));
    judge_finished(now);
    for (const auto& [path, content] : now)
      if (is_temporary(path)) lose("afterwards, " + path + " is still there");
  }
  void judge_finished(const Files& now) {
    for (const auto& [path, content] : scenario_.after) {
      const bool earlier =
          name_of(path).starts_with("checkpoint-") && !scenario_.run.empty() && path.starts_with(scenario_.run + "/") &&
          newest_checkpoint({{path, ""}}, scenario_.run) < newest_checkpoint(scenario_.after, scenario_.run);
      if (earlier) continue;
      if (!now.contains(path) || !same(path, now.at(path), content)) lose("in the end " + path + " is another");
    }
  }

  const Fault& fault_;
  const Scenario& scenario_;
  fs::path folder_;
  bool finished_ = false;
  std::vector<std::string> losses_;
};

}  // namespace

TEST_CASE(
    "faults: whatever call fails or kills a command, no file is lost, and the next call ends as if nothing had been") {
  const WorkingFolder origin;
  std::vector<Scenario> scenarios;
  scenarios.push_back(origin.training());
  scenarios.push_back(origin.resuming(scenarios[0]));
  const std::string truth = "shapes/instances_val.json";
  scenarios.push_back(origin.scenario("eval", {"eval", "--checkpoint", "run", "--json", "eval.json"}));
  scenarios.push_back(origin.scenario("predict", {"predict", "--checkpoint", "run", "--out", "pictures",
                                                  "shapes/val/000001.png", "shapes/val/000002.png"}));
  scenarios.push_back(
      origin.scenario("score", {"score", "--annotations", truth, "--results", "found/results.json", "--metric",
                                "coco-segm", "--json", "score.json", "--curves", "curves.html"}));
  scenarios.push_back(
      origin.scenario("score --picture", {"score", "--annotations", truth, "--results", "found/results.json",
                                          "--metric", "tide-segm", "--picture", "bars.png"}));
  scenarios.push_back(origin.scenario("convert", {"convert", "theirs.safetensors", "ours.safetensors", "--config",
                                                  "tiny.toml", "--set", "model.num_classes=3"}));
  scenarios.push_back(origin.scenario("export", {"export", "--checkpoint", "run", "exported.safetensors"}));
  scenarios.push_back(origin.scenario("report", {"report", "run"}));
  scenarios.push_back(origin.scenario("data convert",
                                      {"data", "convert", "--from", "coco", "--annotations", truth, "--images",
                                       "shapes/val", "--to", "yolo", "--out", "yolo"},
                                      true));
  scenarios.push_back(origin.scenario("data split", {"data", "split", "--annotations", "shapes/instances_train.json",
                                                     "--out", "parts", "--overwrite"}));

  std::vector<Fault> all;
  for (const Scenario& scenario : scenarios)
    for (Fault& fault : faults_of(scenario)) all.push_back(std::move(fault));
  const std::vector<Fault> chosen = every_fault() ? all : sample(all, kSample);

  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::vector<std::string> losses;
  const auto work = [&] {
    const TemporaryFolder folder;
    for (size_t i; (i = next++) < chosen.size();) {
      const Verdict verdict(chosen[i], fs::canonical(folder.path()));
      const std::lock_guard lock(mutex);
      losses.insert(losses.end(), verdict.losses().begin(), verdict.losses().end());
    }
  };
  {
    std::vector<std::jthread> workers;
    for (unsigned i = 0; i < std::clamp(std::thread::hardware_concurrency(), 1u, 8u); ++i) workers.emplace_back(work);
  }

  fmt::print("faults: {} of {} ({}), {} losses; training was killed {}\n", chosen.size(), all.size(),
             counts(chosen, [](const Fault& fault) { return fault.kind; }), losses.size(),
             counts(chosen, [](const Fault& fault) { return fault.stage(); }));
  for (const std::string& loss : losses) MESSAGE(loss);
  CHECK(losses.empty());
}

}  // namespace tessera
