// The configuration files of EffSeg's tables: each is read without an unknown key and says what its row says.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "eval/score.h"
#include "models/effseg/config.h"
#include "tests/support/paths.h"
#include "train/config.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "configs" / "effseg";
const std::vector<std::pair<std::string, effseg::HeadKind>> kHeads = {{"effseg", effseg::HeadKind::kEffSeg},
                                                                      {"mask_rcnn", effseg::HeadKind::kMaskRcnn},
                                                                      {"point_rend", effseg::HeadKind::kPointRend},
                                                                      {"refine_mask", effseg::HeadKind::kRefineMask}};

Config config_of(const std::string& name) {
  return read_config(kFolder / (name + ".toml"));
}
effseg::Config model_of(const std::string& name) {
  return std::get<effseg::Config>(config_of(name).model.network);
}

}  // namespace

TEST_CASE("configs: every EffSeg file is valid, judged by its masks or segments, and no two are the same") {
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    CAPTURE(entry.path().string());
    const Config config = read_config(entry.path());
    CHECK(config.model.name == "effseg");
    if (std::get<effseg::Config>(config.model.network).task == effseg::Task::kPanoptic)
      CHECK(config.evaluation.metric == "panoptic");
    else
      CHECK(find_metric(config.evaluation.metric).compares_masks());
    CHECK(all.insert(to_toml(config)).second);
  }
}

TEST_CASE("configs: every published row of EffSeg has a file") {
  for (const PublishedTable& table : published_tables("effseg"))
    for (const PublishedModel& row : table.models) CHECK(std::filesystem::exists(kFolder / (row.config + ".toml")));
}

TEST_CASE("configs: EffSeg on Cityscapes has its classes, whole pictures and no crop") {
  const Config config = config_of("cityscapes");
  CHECK(config.model.num_classes() == 8);
  CHECK(config.evaluation.metric == "cityscapes");
  CHECK(config.augment.chain.shortest == std::vector<i64>{1024});
  CHECK(config.augment.chain.longest == 2048);
  CHECK(config.augment.chain.crop_probability == 0);
  CHECK(config.data.skip_empty);
}

TEST_CASE("configs: the rows of EffSeg's Table 3 differ by head, neck and epochs") {
  for (const auto& [name, kind] : kHeads) {
    CAPTURE(name);
    const Config config = config_of(name + "_r50_fpn"), longer = config_of(name + "_r50_fpn_24");
    const effseg::Config model = model_of(name + "_r50_fpn"), encoder = model_of(name + "_r50_defenc");
    CHECK(model.head.kind == kind);
    CHECK(model_of(name + "_r50_fpn_24").head.kind == kind);
    CHECK(encoder.head.kind == kind);
    CHECK(model.form == fqdet::Form::kPaper);
    CHECK(model.queries == 300);
    CHECK(model.neck.kind == NeckKind::kFpn);
    CHECK(model.neck.first_level == 2);
    CHECK(model.neck.last_level == 7);
    CHECK(encoder.neck.kind == NeckKind::kDino);
    CHECK(encoder.neck.ffn == 1024);
    CHECK(encoder.neck.pe_order_bug);
    CHECK(config.training.epochs == 12);
    CHECK(config.schedule.milestone_epochs == std::vector<double>{9});
    CHECK(longer.training.epochs == 24);
    CHECK(longer.schedule.milestone_epochs == std::vector<double>{18, 22});
    CHECK(config.training.batch_size * config.training.accumulate == 2);
  }
}

TEST_CASE("configs: EffSeg trains with DETR's augmentation on all pictures, AdamW in three groups, without warm-up") {
  const Config config = config_of("effseg_r50_fpn");
  CHECK(config.input.resize == ResizeRule::kDetr);
  CHECK(config.input.divisor == 1);
  CHECK(config.augment.chain.shortest.front() == 480);
  CHECK(config.augment.chain.shortest.back() == 800);
  CHECK(config.augment.chain.longest == 1333);
  CHECK(config.augment.chain.crop_probability == 0.5);
  CHECK_FALSE(config.data.skip_empty);
  CHECK(config.optimizer.kind == OptimizerKind::kAdamW);
  CHECK(config.optimizer.lr == 1e-4);
  CHECK(config.optimizer.weight_decay == 1e-4);
  CHECK(config.optimizer.clip_norm == 0);
  REQUIRE(config.optimizer.groups.size() == 2);
  CHECK(config.optimizer.groups[0] == ParameterGroup{{"offset"}, 0.1, {}, {}});
  CHECK(config.optimizer.groups[1] == ParameterGroup{{"backbone"}, 0.1, {}, {}});
  CHECK(config.schedule.warmup_steps == 0);
}

TEST_CASE("configs: the modules of EffSeg's Table 5") {
  using enum effseg::Processing;
  CHECK(model_of("effseg_r50_fpn").head.effseg.processing == kSfm);
  for (const auto& [name, processing] : {std::pair{"mlp", kMlp}, std::pair{"conv", kConv},
                                         std::pair{"deform_conv", kDeformConv}, std::pair{"dense_sfm", kDenseSfm}}) {
    CAPTURE(name);
    const effseg::HeadConfig head = model_of(std::string("effseg_r50_fpn_") + name).head.effseg;
    CHECK(head.processing == processing);
    CHECK(head.project_maps == (processing == kDenseSfm));
  }
}

TEST_CASE("configs: EffSeg as released stands on FQDetV2 without box scores") {
  for (const auto& [name, kind] : kHeads) {
    CAPTURE(name);
    const effseg::Config model = model_of(name + "_v2_r50_fpn");
    CHECK(model.head.kind == kind);
    CHECK(model.form == fqdet::Form::kRelease);
    CHECK_FALSE(model.box_score);
    CHECK(model.queries == 600);
    CHECK(model.anchors.ratios.size() == 3);
    CHECK(model.decoder.hidden == 2048);
    CHECK(model.loss.class_weight == 0.5);
    CHECK(model.loss.box_weight == 1.85);
    CHECK(model.inference.nms_threshold == 0.65);
  }
}

TEST_CASE("configs: panoptic EffSeg has 80 things and 53 kinds of stuff, and is the released network in all else") {
  for (const auto& [name, kind] : kHeads) {
    CAPTURE(name);
    const effseg::Config model = model_of(name + "_v2_r50_fpn_panoptic"), released = model_of(name + "_v2_r50_fpn");
    CHECK(model.head.kind == kind);
    CHECK(model.form == released.form);
    CHECK(model.queries == 600);
    CHECK(model.num_classes == 133);
    CHECK(model.task == effseg::Task::kPanoptic);
    CHECK(model.panoptic.things == 80);
    CHECK(model.panoptic.score_threshold == 0.3);
    CHECK(model.panoptic.nms_threshold == 0.75);
    CHECK(model.panoptic.pixel_threshold == 0.35);
    CHECK(model.panoptic.least_overlap == 0.6);
    CHECK(model.panoptic.least_area == 150);
    CHECK(model.inference.candidates == 1000);
    CHECK(model.inference.nms_threshold == 0.5);
  }
}
