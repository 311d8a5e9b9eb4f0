#include "train/config.h"

#include <doctest/doctest.h>

#include <set>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

Config from_text(const std::string& text) {
  return make_config(parse_settings(text, "test.toml", "."));
}

}  // namespace

TEST_CASE("config: the defaults are SparseInst's, and the written text reads back as itself") {
  const Config config = from_text("");
  CHECK(config.optimizer.lr == 5e-5);
  CHECK(config.optimizer.weight_decay == 0.05);
  CHECK(config.training.steps == 270'000);
  CHECK(config.training.batch_size == 64);
  CHECK(to_toml(from_text(to_toml(config))) == to_toml(config));
}

TEST_CASE("config: files, then overrides") {
  const test::TemporaryFolder folder;
  write_file(folder / "tiny.toml",
             "[optimizer]\nlr = 1e-3\n[model.encoder]\nppm = false\n[augment]\njitter_scale = [0.5, 2]\n");
  const Config config =
      read_config(folder / "tiny.toml", {"optimizer.lr=2e-3", "model.decoder.depth=2", "schedule.kind=cosine"});
  CHECK(config.optimizer.lr == 2e-3);
  CHECK(!std::get<sparseinst::Config>(config.model.network).encoder.ppm);
  CHECK(std::get<sparseinst::Config>(config.model.network).decoder.depth == 2);
  CHECK(config.schedule.kind == ScheduleKind::kCosine);
  CHECK(config.augment.config(config.input).scale_jitter->max_scale == 2);
}

TEST_CASE("config: typos and wrong types name the place and the way out") {
  CHECK_ERROR(from_text("[model]\nnum_mask = 3\n"),
              "test.toml:2: unknown option model.num_mask; did you mean model.num_masks?");
  CHECK_ERROR(from_text("[training]\nlr = 3\n"), "test.toml:2: unknown option training.lr; did you mean optimizer.lr?");
  CHECK_ERROR(
      from_text("[model]\nname = \"maskrcnn\"\n"),
      "test.toml:2: model.name must be \"sparseinst\" or \"fqdet\" or \"effseg\" or \"fassst\", got \"maskrcnn\"");
  CHECK_ERROR(from_text("[model.iam]\nkernel = \"5x5\"\n"), "model.iam.kernel must be one of \"1x1\"");
}

TEST_CASE("config: the backbone's kind decides which options it has, wherever it stands") {
  const Config config = from_text("[model.backbone]\nwidth = 0.5\nkind = \"mobilenet_v2\"\n");
  CHECK(std::get<sparseinst::Config>(config.model.network).backbone.width == 0.5);
  CHECK(to_toml(from_text(to_toml(config))) == to_toml(config));
  CHECK_ERROR(from_text("[model.backbone]\nkind = \"mobilenet_v2\"\ndeform = \"v1\"\n"),
              "test.toml:3: unknown option model.backbone.deform");
  CHECK_ERROR(from_text("[model.backbone]\nwidth = 0.5\n"), "test.toml:2: unknown option model.backbone.width");
  CHECK_ERROR(from_text("[model.backbone]\nkind = \"vgg\"\n"), "model.backbone.kind must be one of \"tiny\"");
}

TEST_CASE("config: groups of parameters are tables, read and written like every option; their old names are told") {
  const Config config = from_text(
      "[[optimizer.groups]]\nmatch = [\"norm\", \"bias\"]\nweight_decay = 0\n"
      "[[optimizer.groups]]\nmatch = [\"backbone.*\"]\nlr_factor = 0.1\nfrozen = false\n");
  REQUIRE(config.optimizer.groups.size() == 2);
  CHECK(config.optimizer.groups[0].weight_decay == 0.0);
  CHECK(!config.optimizer.groups[0].lr_factor);
  CHECK(config.optimizer.groups[1].lr_factor == 0.1);
  CHECK(config.optimizer.groups[1].frozen == false);
  CHECK(from_text(to_toml(config)).optimizer.groups == config.optimizer.groups);
  CHECK(from_text("[optimizer]\ngroups = []\n").optimizer.groups.empty());
  CHECK_ERROR(
      from_text("[[optimizer.groups]]\nmatch = [\"a\"]\nlr = 2\n"),
      "test.toml:1: optimizer.groups must be a list, each value a table {match: a list, each value a string in "
      "quotes; lr_factor: a number, at least 0; weight_decay: a number, at least 0; frozen: true or false}, got "
      "[{lr = 2, match = [\"a\"]}]");
  CHECK_ERROR(from_text("[optimizer]\ngroups = [{lr_factor = -1}]\n"), "test.toml:2: optimizer.groups must be");
  CHECK_ERROR(from_text("[optimizer]\n\nno_decay = []\n"),
              "test.toml:3: there is no option optimizer.no_decay any more; write a table [[optimizer.groups]] with");
  CHECK_ERROR(from_text("[optimizer]\nbackbone_lr = 0.1\n"), "test.toml:2: there is no option optimizer.backbone_lr");
}

TEST_CASE(
    "config: lengths in epochs become steps by the size of the data; of steps and epochs the later setting holds") {
  const std::string epochs =
      "[training]\nsteps = 7\nepochs = 12\nbatch_size = 2\naccumulate = 4\n"
      "[schedule]\nmilestone_epochs = [9, 11.5]\nwarmup_epochs = 0.5\n";
  Config config = from_text(epochs);
  resolve_epochs(config, 1001);  // 125.125 steps an epoch
  CHECK(config.training.steps == 1502);
  CHECK(config.schedule.milestones == std::vector<i64>{1126, 1439});
  CHECK(config.schedule.warmup_steps == 63);
  const Config again = from_text(to_toml(config));  // as a resumed run reads it
  CHECK(to_toml(again) == to_toml(config));
  CHECK(again.training.epochs == 12);
  resolve_epochs(config, 10'000'000'000);
  CHECK(config.training.steps == 15'000'000'000);

  Config steps = make_config({parse_override("training.steps=5"), parse_override("schedule.milestones=[4]"),
                              parse_override("schedule.warmup_steps=0")},
                             config);
  resolve_epochs(steps, 1001);
  CHECK(steps.training.steps == 5);
  CHECK(steps.schedule.milestones == std::vector<i64>{4});
  CHECK(steps.schedule.warmup_steps == 0);
  const i64 default_steps = Config().training.steps;
  Config untouched;
  resolve_epochs(untouched, 3);
  CHECK(untouched.training.steps == default_steps);
  CHECK_ERROR(from_text("[training]\nepochs = -1\n"), "training.epochs must be a number, at least 0");
}

TEST_CASE("config: values out of range are errors with the place, the range and the value") {
  CHECK_ERROR(from_text("[training]\nsteps = 0\n"),
              "test.toml:2: training.steps must be an integer, at least 1, got 0");
  CHECK_ERROR(from_text("[training]\nema_decay = 1.0\n"), "must be a number, at least 0 and below 1, got 1.0");
  CHECK_ERROR(from_text("[optimizer]\nlr = nan\n"), "optimizer.lr must be a number, at least 0, got nan");
  CHECK_ERROR(from_text("[optimizer]\nbeta2 = 1\n"), "optimizer.beta2 must be");
  CHECK_ERROR(from_text("[input]\nstd = [1, 0, 1]\n"), "input.std must be a list of 3 values, each a number, above 0");
  CHECK_ERROR(from_text("[input]\nmean = [1, inf, 1]\n"), "input.mean must be");
  CHECK_ERROR(from_text("[input]\nshortest = 900\n"), "input.longest 853 is below input.shortest 900");
  CHECK_ERROR(from_text("[augment]\njitter_scale = [1]\n"), "augment.jitter_scale must be [min, max]");
  CHECK_ERROR(from_text("[evaluation]\nmetric = \"ap\"\n"),
              "config: evaluation.metric: there is no metric \"ap\"; coco-segm, coco-bbox, lvis-segm");
  CHECK_ERROR(from_text("[augment]\nflip_probability = 2\n"), "test.toml:2: augment.flip_probability must be");
  CHECK_ERROR(from_text("[model]\nencoder.channels = 6\n"), "must be an integer, at least 4, a multiple of 4, got 6");
  CHECK_ERROR(from_text("[model]\nbackbone.freeze_at = 6\n"), "test.toml:2: model.backbone.freeze_at must be");
  CHECK_ERROR(from_text("[model]\nnum_masks = 0\n"), "model.num_masks must be an integer, at least 1, got 0");
  CHECK_ERROR(from_text("[model]\nloss.dice_weight = -1\n"), "model.loss.dice_weight must be");
}

TEST_CASE("config: every option and every section has one line of meaning, and no name stands twice") {
  Config config;
  std::set<std::string> names;
  for (const Option& option : options_of(config, true)) {
    CAPTURE(option.name);
    CHECK(names.insert(option.name).second);
    CHECK(option.meaning.size() > 5);
    CHECK(option.section_meaning.size() > 5);
    CHECK(option.meaning.find('\n') == std::string::npos);
    CHECK(option.meaning.back() != '.');
    CHECK(option.set(option.get()));  // the default is allowed
  }
  CHECK(names.contains("model.backbone.freeze_at"));
  CHECK(names.contains("model.backbone.width"));
}

TEST_CASE("config: every file in configs/ is a valid configuration") {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test::source_dir() / "configs")) {
    if (entry.path().extension() != ".toml") continue;
    ++files;
    CHECK_NOTHROW_MESSAGE(read_config(entry.path()), entry.path().string());
  }
  CHECK(files > 10);
}
