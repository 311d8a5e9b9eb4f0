// --resume from outside: without a configuration, with changes, and where there is nothing to resume.
#include <map>

#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

// Every file of a run with its content.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = read_file(entry.path());
  return files;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A finished run of three steps, copied.
fs::path copy_of_run(const std::string& name) {
  const Workshop& w = workshop();
  if (!fs::exists(w.folder / "three")) {
    const Outcome trained = run(w.train("three", {"--set", "training.steps=3", "--set", "optimizer.lr=2e-3"}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
  }
  fs::copy(w.folder / "three", w.folder / name);
  return w.folder / name;
}

}  // namespace

TEST_CASE("program: --resume needs no configuration: the run goes on with the one it had, --set included") {
  const Workshop& w = workshop();
  Arguments set;
  for (const char* option : {"augment.rotate_90_probability=0.5", "augment.mosaic_probability=0.5",
                             "augment.copy_paste_probability=0.5", "augment.brightness=0.4", "augment.hue=0.1",
                             "data.repeat_threshold=1", "optimizer.lr=3e-3", "training.steps=5"})
    set.insert(set.end(), {"--set", option});
  REQUIRE(run(w.train("five", set)).code == 0);
  Arguments three = set;
  three.back() = "training.steps=3";
  REQUIRE(run(w.train("part", three)).code == 0);
  const Outcome resumed =
      run({"train", "--resume", "--out", (w.folder / "part").string(), "--set", "training.steps=5"});
  INFO(resumed.err);
  CHECK(resumed.code == 0);
  CHECK(resumed.out.starts_with("training.steps: 3 -> 5\n"));
  CHECK(read_file(w.folder / "part" / "config.toml") == read_file(w.folder / "five" / "config.toml"));
  const auto steps = [&](const std::string& out) {
    Arguments lines = w.log(out);
    std::erase_if(lines, [](const std::string& line) { return !line.starts_with("{\"event\":\"step\""); });
    return lines;
  };
  CHECK(steps("part") == steps("five"));

  // A configuration that says what the stored one says changes nothing, a finished run stays as it is.
  const std::map<std::string, std::string> before = contents(w.folder / "part");
  const Outcome again = run({"train", "--resume", "--out", (w.folder / "part").string()});
  CHECK(again.code == 0);
  CHECK(contents(w.folder / "part") == before);
}

TEST_CASE("program: a FASSST that is killed in its second epoch and resumed equals one that was not") {
  const Workshop& w = workshop();
  const fs::path config = w.folder / "fassst.toml", shapes = w.folder / "shapes";
  write_file(config,
             fmt::format("base = \"{}/configs/fassst/tiny_shapes.toml\"\n[data]\n"
                         "train_annotations = \"{}/instances_train.json\"\ntrain_images = \"{}/train\"\n"
                         "val_annotations = \"{}/instances_val.json\"\nval_images = \"{}/val\"\n"
                         "[optimizer]\nkind = \"sgd\"\nmomentum = 0.9\n[schedule]\nwarmup_steps = 2\n"
                         "[training]\nsteps = 8\nbatch_size = 4\ncheckpoint_every = 2\n"
                         "[evaluation]\nevery = 8\n",
                         source_dir().string(), shapes.string(), shapes.string(), shapes.string(), shapes.string()));
  const Outcome whole = run(w.train(config, "fassst_whole", {}));
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  CHECK(w.interrupted(config, "fassst_killed", SIGKILL, 5).code == 128 + SIGKILL);  // 3 steps are an epoch
  const Outcome resumed = run(w.train(config, "fassst_killed", {"--resume"}));
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(w.log("fassst_killed") == w.log("fassst_whole"));
  const std::string last = "checkpoint-00000008.safetensors";
  CHECK(read_file(w.folder / "fassst_killed" / last) == read_file(w.folder / "fassst_whole" / last));
}

TEST_CASE("program: a resumed run prints what changes, and refuses another network, data or seed without a trace") {
  const Workshop& w = workshop();
  const fs::path folder = copy_of_run("changed");
  const std::map<std::string, std::string> before = contents(folder);
  const auto refused = [&](const Arguments& more, const std::string& part) {
    Arguments arguments{"train", "--resume", "--out", folder.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    check_fails(arguments, 1, part);
    CHECK(contents(folder) == before);
  };
  refused({"--set", "training.seed=2"}, "training.seed: 1 -> 2 (another seed)");
  refused({"--set", "model.kernel_dim=32"}, "model.kernel_dim: 16 -> 32 (another network)");
  refused({"--set", "model.backbone.kind=resnet18"}, "model.backbone.kind: \"tiny\" -> \"resnet18\"");
  refused({"--set", "model.num_classes=5"}, "model.num_classes: 3 -> 5 (another network)");
  refused({"--set", "data.train_annotations=" + (w.folder / "shapes" / "instances_val.json").string()},
          "data.train_annotations: ");
  refused({"--set", "training.steps=2"}, "has done 3 steps already");
  refused({"--set", "training.stepps=9"}, "did you mean training.steps?");
  refused({w.config.string(), "--set", "training.batch_size=4", "--set", "training.seed=9"},
          "training.batch_size: 2 -> 4");

  // The configuration file says lr = 1e-3 and 8 steps: both apply, and are told.
  const Outcome outcome = run({"train", w.config.string(), "--resume", "--out", folder.string()});
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.out, "optimizer.lr: 0.002 -> 0.001\n"));
  CHECK(contains(outcome.out, "training.steps: 3 -> 8\n"));
  CHECK(contains(read_file(folder / "config.toml"), "lr = 0.001\n"));
}

TEST_CASE("program: --resume where there is nothing to resume") {
  const Workshop& w = workshop();
  const auto at = [&](const char* name) { return (w.folder / name).string(); };
  check_fails({"train", "--resume"}, 2, "--out is required");
  check_fails({"train", "--resume", "--out", at("nowhere")}, 1, "nowhere holds no checkpoint to resume from");
  fs::create_directories(at("only_log"));
  write_file(w.folder / "only_log" / "log.jsonl", "{\"event\":\"step\",\"step\":1}\n{\"event\":\"st");
  check_fails({"train", "--resume", "--out", at("only_log")}, 1, "begin the run with its CONFIG");
  check_fails(w.train("only_log"), 1, "holds a run already");
  const Outcome outcome = run(w.train("only_log", {"--resume", "--set", "training.steps=2"}));
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  CHECK(contains(outcome.out, "no checkpoint yet: starting anew\n"));
  CHECK(w.log("only_log").size() == 3);
}

TEST_CASE("program: eval and --resume take the last whole checkpoint of a folder, and say so") {
  const fs::path folder = copy_of_run("damaged");
  write_file(folder / "checkpoint-00000009.safetensors", "");
  write_file(folder / "best.safetensors", read_file(folder / "best.safetensors").substr(0, 3000));
  for (const Arguments& command :
       {Arguments{"eval", "--checkpoint", folder.string()}, {"train", "--resume", "--out", folder.string()}}) {
    const Outcome outcome = run(command);
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(contains(outcome.err, "checkpoint-00000009.safetensors: "));
    CHECK(contains(outcome.err, "checkpoint-00000003.safetensors is taken instead\n"));
  }
}

}  // namespace tessera
