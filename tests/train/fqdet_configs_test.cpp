// The configuration files of FQDet: each is read without an unknown key and says what its row says.
#include <doctest/doctest.h>

#include <filesystem>

#include "models/fqdet/fqdet.h"
#include "tests/support/paths.h"
#include "train/config.h"
#include "train/optimizer.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "configs" / "fqdet";

Config config_of(const std::string& name) {
  return read_config(kFolder / (name + ".toml"));
}
fqdet::Config model_of(const std::string& name) {
  return std::get<fqdet::Config>(config_of(name).model.network);
}

}  // namespace

TEST_CASE("configs: every FQDet file is valid and judged by its boxes, and every published row has one") {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    CAPTURE(entry.path().string());
    const Config config = read_config(entry.path());
    CHECK(config.model.name == "fqdet");
    CHECK(config.evaluation.metric == "bbox");
  }
  const PublishedTable table = published_tables("fqdet").at(0);
  for (const PublishedModel& row : table.models) CHECK(std::filesystem::exists(kFolder / (row.config + ".toml")));
}

TEST_CASE("configs: FQDet's first form is trained with two accumulated pictures, everything decayed") {
  const Config config = config_of("r50_fpn");
  CHECK(config.training.batch_size == 1);
  CHECK(config.training.accumulate == 2);
  CHECK(config.input.resize == ResizeRule::kDetr);
  CHECK(config.optimizer.lr == 1e-4);
  CHECK(config.optimizer.weight_decay == 1e-4);
  CHECK(config.optimizer.groups.size() == 2);
  const fqdet::Config model = model_of("r50_fpn");
  CHECK(model.form == fqdet::Form::kPaper);
  CHECK(model.queries == 300);
  CHECK(model.neck.first_level == 3);
  CHECK(model.inference.nms_threshold == 0.5);
}

TEST_CASE("configs: FQDetV2's rows") {
  for (const char* name : {"v2_r50_fpn", "v2_r50_defenc_p3", "v2_r50_defenc_p2"}) {
    CAPTURE(name);
    const fqdet::Config model = model_of(name);
    CHECK(model.form == fqdet::Form::kRelease);
    CHECK(model.box_score);
    CHECK(model.queries == 1500);
    CHECK(model.anchors.sizes * static_cast<i64>(model.anchors.ratios.size()) == 21);
    CHECK(model.loss.box_weight == 1.85);
    CHECK(model.inference.nms_threshold == 0.7);
  }
  const Config encoder = config_of("v2_r50_defenc_p2");
  CHECK(encoder.optimizer.lr == 2e-4);
  CHECK(encoder.optimizer.clip_norm == 0.1);
  CHECK(encoder.training.batch_size * encoder.training.accumulate == 16);
  CHECK(model_of("v2_r50_defenc_p2").neck.first_level == 2);
  CHECK(model_of("v2_r50_defenc_p3").neck.kind == NeckKind::kDeformEncoder);
}

TEST_CASE("configs: the groups of FQDet decide of every sampling offset and of the backbone") {
  const Config config = config_of("fqdet_tiny");
  const std::unique_ptr<Segmenter> model = make_model(config.model, 1);
  for (const i64 parameters : apply_groups(config.optimizer, *model)) CHECK(parameters > 0);
}
