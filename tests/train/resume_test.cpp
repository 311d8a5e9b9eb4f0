#include "train/resume.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/toy.h"

using namespace tessera;

namespace {

// A checkpoint after step 5 of a run with this configuration.
Checkpoint checkpoint_of(const test::TemporaryFolder& folder, const Config& config) {
  test::Toy toy;
  CheckpointInfo info;
  info.step = 5;
  info.config = to_toml(config);
  save_checkpoint(folder / "a.safetensors", info, toy, nullptr, nullptr);
  return Checkpoint::open(folder / "a.safetensors");
}

}  // namespace

TEST_CASE("resume: every option is known to change or not to change") {
  // A new option belongs into one of the two lists: see kRules in train/resume.cpp.
  std::string fixed, free;
  Config config;
  for (const Option& option : options_of(config)) {
    if (option.name.starts_with("model.") && *resume_rule(option.name).fixed_because != 0) continue;
    (*resume_rule(option.name).fixed_because != 0 ? fixed : free) += option.name + " ";
  }
  CHECK(fixed ==
        "data.train_annotations data.train_images data.skip_empty data.group_by_aspect data.repeat_threshold "
        "input.resize input.shortest "
        "input.longest input.size input.mean input.std input.divisor optimizer.kind training.batch_size training.seed "
        "training.ema_decay "
        "training.init_weights training.init_prefix training.init_bgr training.init_transfer ");
  CHECK(free ==
        "model.matcher.dice_exponent model.matcher.class_exponent model.loss.mask model.loss.objectness "
        "model.loss.class_weight model.loss.dice_weight model.loss.pixel_weight model.loss.objectness_weight "
        "model.inference.rescore model.inference.maskness model.inference.score_threshold "
        "model.inference.mask_threshold data.val_annotations data.val_images data.workers data.prefetch "
        "augment.flip_probability augment.rotate_90_probability augment.shortest augment.longest "
        "augment.crop_probability augment.crop_shortest "
        "augment.crop_min augment.crop_max augment.least_pixels augment.mosaic_probability "
        "augment.copy_paste_probability augment.brightness augment.contrast augment.saturation augment.hue "
        "augment.jitter_scale augment.jitter_size optimizer.lr "
        "optimizer.weight_decay optimizer.clip_norm optimizer.beta1 optimizer.beta2 optimizer.eps optimizer.momentum "
        "optimizer.sharded optimizer.groups schedule.kind schedule.milestones schedule.milestone_epochs schedule.gamma "
        "schedule.final_factor schedule.warmup_steps schedule.warmup_epochs schedule.warmup_factor training.steps "
        "training.epochs training.accumulate "
        "training.precision training.mixed_precision training.graph training.sync_batch_norm training.winograd "
        "training.tune training.log_every training.tensorboard training.checkpoint_every "
        "training.keep_checkpoints training.compare_every evaluation.every evaluation.batch_size evaluation.metric "
        "evaluation.loss evaluation.patience ");
}

TEST_CASE("resume: the stored configuration comes back, and what is given anew is laid over it") {
  const test::TemporaryFolder folder;
  Config config;
  config.optimizer.lr = 0.1 + 0.2;
  std::get<sparseinst::Config>(config.model.network).backbone.kind = BackboneKind::kTiny;
  config.data.train_annotations = "a \"quoted\" name.json";
  const Checkpoint checkpoint = checkpoint_of(folder, config);
  CHECK(to_toml(stored_config(checkpoint)) == to_toml(config));
  CHECK(changes_on_resume(checkpoint, config).empty());

  const Config next = make_config({parse_override("training.steps=400000"), parse_override("evaluation.metric=bbox"),
                                   parse_override("training.log_every=20")},
                                  stored_config(checkpoint));
  CHECK(next.optimizer.lr == 0.1 + 0.2);
  const std::vector<OptionChange> changes = changes_on_resume(checkpoint, next);
  REQUIRE(changes.size() == 2);  // log_every is 20 already
  CHECK(changes[0].str() == "training.steps: 270000 -> 400000");
  CHECK(!changes[0].new_figures);
  CHECK(changes[1].str() == "evaluation.metric: \"segm\" -> \"bbox\"");
  CHECK(changes[1].new_figures);
}

TEST_CASE("resume: what would make another run is one error that lists all of it, with the reasons") {
  const test::TemporaryFolder folder;
  const Checkpoint checkpoint = checkpoint_of(folder, {});
  Config next = stored_config(checkpoint);
  next.training.seed = 7;
  next.training.steps = 300'000;  // this could change
  std::get<sparseinst::Config>(next.model.network).backbone.kind =
      BackboneKind::kTiny;  // so the section has other options
  next.data.train_annotations = "other.json";
  std::string message;
  try {
    changes_on_resume(checkpoint, next);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.starts_with((folder / "a.safetensors").string() +
                            ": a resumed run cannot change model.backbone.kind: \"resnet50\" -> \"tiny\" (another "
                            "network), data.train_annotations: \"\" -> \"other.json\" (other data, or another order of "
                            "it), training.seed: 1 -> 7 (another seed); leave that as it was, or begin a run in "));
}

TEST_CASE("resume: other parameters than those that were trained are an error, their rates are not") {
  const test::TemporaryFolder folder;
  const Checkpoint checkpoint = checkpoint_of(folder, {});
  Config next;
  next.optimizer.groups.push_back({.match = {"backbone.*"}, .lr_factor = 0.1, .weight_decay = {}, .frozen = {}});
  CHECK(changes_on_resume(checkpoint, next).size() == 1);
  next.optimizer.groups.back().frozen = true;
  CHECK_ERROR(changes_on_resume(checkpoint, next), "the checkpoint has the moments of the parameters that it trained");
}

TEST_CASE("resume: the same file under another name is the same data") {
  const test::TemporaryFolder folder;
  write_file(folder / "a.json", "");
  write_file(folder / "b.json", "");
  Config config;
  config.data.train_annotations = (folder / "a.json").string();
  const Checkpoint checkpoint = checkpoint_of(folder, config);
  config.data.train_annotations = (folder.path() / "." / "a.json").string();
  CHECK(changes_on_resume(checkpoint, config).empty());
  config.data.train_annotations = (folder / "b.json").string();
  CHECK_ERROR(changes_on_resume(checkpoint, config), "data.train_annotations");
}

TEST_CASE("resume: fewer steps than are done is an error") {
  const test::TemporaryFolder folder;
  const Checkpoint checkpoint = checkpoint_of(folder, {});
  Config next;
  next.training.steps = 5;
  CHECK(changes_on_resume(checkpoint, next).size() == 1);
  next.training.steps = 4;
  CHECK_ERROR(changes_on_resume(checkpoint, next), "has done 5 steps already, training.steps cannot become 4");
}

TEST_CASE("resume: a checkpoint of the time before groups of parameters has their settings") {
  const test::TemporaryFolder folder;
  test::Toy toy;
  CheckpointInfo info;
  const auto groups_of = [&](const std::string& options) {
    info.config = "[optimizer]\nlr = 0.5\n" + options + "[training]\nseed = 3\n";
    save_checkpoint(folder / "old.safetensors", info, toy, nullptr, nullptr);
    const Config config = stored_config(Checkpoint::open(folder / "old.safetensors"));
    CHECK(config.optimizer.lr == 0.5);
    CHECK(config.training.seed == 3);
    return config.optimizer.groups;
  };
  const std::vector<ParameterGroup> defaults = OptimizerConfig().groups;
  CHECK(groups_of("no_decay = [\"norm\", \"patch_embed\", \"cls_token\"]\nbackbone_lr = 1.0\n") == defaults);
  const std::vector<ParameterGroup> groups = groups_of("no_decay = [\"bias\"]\nbackbone_lr = 0.1\n");
  REQUIRE(groups.size() == 2);
  CHECK(groups[0] == ParameterGroup{.match = {"bias"}, .lr_factor = {}, .weight_decay = 0.0, .frozen = {}});
  CHECK(groups[1] == ParameterGroup{.match = {"backbone.*"}, .lr_factor = 0.1, .weight_decay = {}, .frozen = {}});
}
