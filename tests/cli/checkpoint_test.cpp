// What a checkpoint is, and what of it is passed on: tessera info --checkpoint, tessera export --slim.
#include "train/checkpoint.h"

#include <fmt/core.h>

#include "tests/cli/program.h"
#include "train/log.h"

namespace tessera {

using namespace test;

namespace {

// A run of two steps with averages, evaluated after both.
const fs::path& averaged_run() {
  static const fs::path folder = [] {
    succeeds(workshop().train(
        "averaged", {"--set", "training.steps=2", "--set", "training.ema_decay=0.9", "--set", "evaluation.every=1"}));
    return workshop().folder / "averaged";
  }();
  return folder;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("program: info tells what a checkpoint is, what it holds and how good it is") {
  const fs::path file = checkpoint_path(averaged_run(), 2);
  const std::string out = succeeds({"info", "--checkpoint", file.string()}).out;
  const double best = std::max(logged_evaluation(averaged_run(), 1)[0].second[0].second,
                               logged_evaluation(averaged_run(), 2)[0].second[0].second);
  for (const std::string& part :
       {file.string() + ": ", std::string("sparseinst"), std::string("backbone.kind = \"tiny\""),
        std::string("classes     3: "), std::string("weights, moving averages of them, optimiser state\n"),
        std::string("instances_train.json"), std::string("step 2 of 2, seed 1, on cpu"), std::string("segm AP "),
        std::string("bbox AP "), fmt::format("best        segm {:.4f} of the evaluations until step 2", best)})
    CHECK_MESSAGE(contains(out, part), part, " is not in\n", out);
  CHECK(contains(succeeds({"info", "--checkpoint", averaged_run().string()}).out, "best.safetensors"));
  check_fails({"info", "--checkpoint", workshop().config.string()}, 1, "tiny.toml");
  check_fails({"info", "--checkpoint", (workshop().folder / "none").string()}, 1, "none");
}

TEST_CASE("program: a slim checkpoint finds what the whole one finds, and is for use alone") {
  const Workshop& w = workshop();
  const fs::path whole = checkpoint_path(averaged_run(), 2), folder = w.folder / "slim";
  fs::create_directories(folder);
  const fs::path slim = checkpoint_path(folder, 2);
  CHECK(contains(succeeds({"export", "--checkpoint", whole.string(), "--slim", slim.string()}).out,
                 "checkpoint in " + slim.string()));
  CHECK(fs::file_size(slim) < 0.35 * static_cast<double>(fs::file_size(whole)));
  const auto figures = [&](const fs::path& checkpoint) {
    const std::string json = (folder / "eval.json").string();
    succeeds({"eval", "--checkpoint", checkpoint.string(), "--json", json});
    return nlohmann::json::parse(read_file(json))["segm"]["stats"];
  };
  CHECK(figures(slim) == figures(whole));
  const std::string told = succeeds({"info", "--checkpoint", slim.string()}).out;
  CHECK(contains(told, "moving averages of the weights, no optimiser state"));
  CHECK(contains(told, "of the evaluations until step 2"));  // though the log lies elsewhere
  CHECK(Checkpoint::open(slim).info().classes == Checkpoint::open(whole).info().classes);

  // Slim again it is the same file; others can begin with it, but none can go on from it.
  succeeds({"export", "--checkpoint", slim.string(), "--slim", (folder / "again.safetensors").string()});
  CHECK(read_file(folder / "again.safetensors") == read_file(slim));
  CHECK(contains(
      succeeds(w.train("from_slim", {"--set", "training.steps=1", "--set", "training.init_weights=" + slim.string()}))
          .out,
      "encoder.*: 24 of 24 loaded"));
  const std::string before = read_file(slim);
  const Outcome resumed = run({"train", "--resume", "--out", folder.string(), "--set", "training.steps=4"});
  CHECK(resumed.code == 1);
  CHECK(contains(resumed.err, slim.string() + ": has the weights alone, without the optimiser's state"));
  CHECK(read_file(slim) == before);
  check_fails(
      {"export", "--checkpoint", whole.string(), "--slim", (w.folder / "." / "averaged" / whole.filename()).string()},
      1, "is read by this call");
}

}  // namespace tessera
