// The program from outside: exit codes, messages, and a run that is killed and resumed.
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

TEST_CASE("program: --help everywhere, and a wrong command line ends with 2 and one line") {
  for (const Arguments& command : {Arguments{}, {"train"}, {"eval"}, {"score"}, {"data"}, {"data", "shapes"}}) {
    Arguments arguments = command;
    arguments.push_back("--help");
    const Outcome outcome = run(arguments);
    CHECK(outcome.code == 0);
    CHECK(outcome.out.find("Usage: tessera") != std::string::npos);
    CHECK(outcome.err.empty());
  }
  check_fails({"paint"}, 2, "unknown command paint");
  check_fails({"train"}, 2, "CONFIG is required");
  check_fails({"train", "a.toml", "--fast"}, 2, "--fast");
  check_fails({"train", "a.toml", "--resume", "--overwrite"}, 2, "--resume");
  check_fails({"data", "shapes", "--out", "x", "--train", "many"}, 2, "--train");
  check_fails({"eval", "--checkpoint", "x", "--annotations", "y"}, 2, "--images");
}

TEST_CASE("program: bad input ends with 1 and one line that names it") {
  check_fails({"train", "absent.toml"}, 1, "absent.toml: no such file or configuration");
  check_fails({"eval", "--checkpoint", "absent.safetensors"}, 1, "absent.safetensors: cannot be opened");
  check_fails({"score", "--annotations", "a.json", "--results", "r.json", "--metric", "coco-segm"}, 1,
              "a.json: cannot be opened");
  check_fails({"score", "--annotations", "a.json", "--results", "r.json", "--metric", "ap"}, 1, "coco-bbox");
  const Workshop& w = workshop();
  check_fails({"bench", "--model", w.config.string(), "--graph"}, 1, "device cpu cannot record graphs; ");
  check_fails(w.train("x", {"--set", "optimizer.lrr=1"}), 1,
              "--set: unknown option optimizer.lrr; did you mean optimizer.lr?");
  check_fails(w.train("x", {"--set", "training.steps=many"}), 1,
              "training.steps must be an integer, at least 1, got \"many\"");
  check_fails(w.train("x", {"--set", "model.num_classes=5"}), 1, "model.num_classes is 5, but");
  check_fails(w.train("x", {"--set", "data.train_annotations=absent.json"}), 1, "absent.json: cannot be opened");
  check_fails(w.train("x", {"--set", "data.train_images=absent"}), 1, "absent");
  check_fails(w.train("x", {"--set", "training.init_weights=absent.safetensors"}), 1, "absent.safetensors");
}

TEST_CASE("program: --dry-run tells configuration, parameters and the first batch, and writes nothing") {
  const Workshop& w = workshop();
  const Outcome outcome = run(w.train("dry", {"--dry-run", "--set", "optimizer.lr=3e-4"}));
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  for (const char* part : {"lr = 0.0003\n", "num_classes = 3\n", "parameters: ", "first batch: images [2, "})
    CHECK(outcome.out.find(part) != std::string::npos);
  CHECK(!fs::exists(w.folder / "dry"));
}

TEST_CASE("program: a run that is killed, or stopped by a signal, and resumed equals one that was not") {
  const Workshop& w = workshop();
  const Outcome whole = run(w.train("whole"));
  REQUIRE_MESSAGE(whole.code == 0, whole.err);
  REQUIRE(w.log("whole").size() == 10);  // 8 steps, 2 evaluations
  check_fails(w.train("whole"), 1, "holds a run already; --resume continues it, --overwrite begins anew");

  CHECK(w.interrupted("killed", SIGKILL, 5).code == 128 + SIGKILL);
  CHECK(run(w.train("killed", {"--resume"})).code == 0);
  CHECK(w.log("killed") == w.log("whole"));

  CHECK(w.interrupted("stopped", SIGTERM, 2).code == 128 + SIGTERM);
  CHECK(run(w.train("stopped", {"--resume"})).code == 0);
  CHECK(w.log("stopped") == w.log("whole"));
  const std::string last = "checkpoint-00000008.safetensors";
  CHECK(read_file(w.folder / "stopped" / last) == read_file(w.folder / "whole" / last));

  // The checkpoint alone is enough to evaluate, and gives the figures of the log.
  const std::string json = (w.folder / "figures" / "eval.json").string();
  const Outcome evaluated = run({"eval", "--checkpoint", (w.folder / "whole" / last).string(), "--json", json});
  REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
  const nlohmann::json figures = nlohmann::json::parse(read_file(json));
  const nlohmann::json logged = nlohmann::json::parse(w.log("whole").back());
  CHECK(figures["segm"]["stats"] == logged["segm"]);
  CHECK(figures["bbox"]["stats"] == logged["bbox"]);
  CHECK(figures["segm"]["per_category"].size() == 3);
}

TEST_CASE("program: weights go out to PyTorch's names and layout and come back as the same bits") {
  const Workshop& w = workshop();
  const auto at = [&](const char* name) { return (w.folder / name).string(); };
  const Outcome trained = run(w.train("short", {"--set", "training.steps=2", "--set", "evaluation.every=2"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const Outcome exported = run({"export", "--checkpoint", at("short"), at("theirs.safetensors")});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);

  check_fails({"eval", "--checkpoint", at("theirs.safetensors")}, 1, "weights of another tool need --config");
  const Arguments model{"--config", w.config.string(), "--set", "model.num_classes=3"};
  Arguments convert{"convert", at("theirs.safetensors"), at("ours.safetensors")};
  convert.insert(convert.end(), model.begin(), model.end());
  const Outcome converted = run(convert);
  REQUIRE_MESSAGE(converted.code == 0, converted.err);
  CHECK(converted.out.find(" 0 are missing, 0 are of another shape, 0 are left over") != std::string::npos);
  CHECK(run({"export", "--checkpoint", at("ours.safetensors"), at("again.safetensors")}).code == 0);
  CHECK(read_file(at("again.safetensors")) == read_file(at("theirs.safetensors")));
  check_fails({"convert", at("ours.safetensors"), at("x.safetensors")}, 1, "a checkpoint of tessera already");
  convert.back() = "model.num_classes=4";
  convert.insert(convert.end(), {"--set", "data.val_annotations="});
  check_fails(convert, 1, "does not fit the model");

  // Both evaluate to the figures of the run.
  const nlohmann::json logged = nlohmann::json::parse(w.log("short").back());
  for (const char* name : {"theirs.safetensors", "ours.safetensors"}) {
    Arguments evaluate{"eval", "--checkpoint", at(name), "--json", at("figures.json")};
    evaluate.insert(evaluate.end(), model.begin(), model.end());
    const Outcome evaluated = run(evaluate);
    REQUIRE_MESSAGE(evaluated.code == 0, evaluated.err);
    CHECK(nlohmann::json::parse(read_file(at("figures.json")))["segm"]["stats"] == logged["segm"]);
  }
}

}  // namespace tessera
