// The configuration files of FASSST: each is valid, can be built, and says what its row says.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "models/fassst/fassst.h"
#include "tests/support/paths.h"
#include "train/config.h"
#include "train/optimizer.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "configs" / "fassst";

Config config_of(const std::string& name) {
  return read_config(kFolder / (name + ".toml"));
}
fassst::Config model_of(const std::string& name) {
  return std::get<fassst::Config>(config_of(name).model.network);
}

}  // namespace

TEST_CASE("configs: every FASSST file says one size to the data and the network, and no two are the same") {
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    CAPTURE(entry.path().string());
    const Config config = read_config(entry.path());
    CHECK(config.model.name == "fassst");
    CHECK(has_window(config.input.resize));
    CHECK(config.input.size == std::get<fassst::Config>(config.model.network).input);
    CHECK(all.insert(to_toml(config)).second);
  }
  for (const PublishedTable& table : published_tables("fassst"))
    for (const PublishedModel& row : table.models) CHECK(std::filesystem::exists(kFolder / (row.config + ".toml")));
}

TEST_CASE("configs: FASSST's rows differ by depth, input, backbone, boxes and fusion") {
  CHECK(model_of("coco_416").head_depth == 5);
  CHECK(model_of("coco_416_depth4").head_depth == 4);
  CHECK(model_of("coco_416_depth6").head_depth == 6);
  CHECK(model_of("coco_768").input == std::array<i64, 2>{768, 768});
  CHECK(model_of("coco_416_r50_fpn").backbone.kind == BackboneKind::kResNet50);
  CHECK_FALSE(model_of("coco_416_no_rff").mask.fusion);
  for (const i64 g : {4, 5, 7, 8, 9})
    CHECK(model_of(fmt::format("coco_416_n{}", g * g)).attention.grid == std::array<i64, 2>{g, g});
  for (const i64 g : {4, 5, 6, 8, 9})
    CHECK(model_of(fmt::format("cityscapes_768_n{}", g * g)).attention.grid == std::array<i64, 2>{g, g});
  CHECK(model_of("cityscapes_768").num_classes == 8);
  CHECK(model_of("cityscapes_768").attention.grid == std::array<i64, 2>{7, 7});
  const Config config = config_of("coco_416");
  CHECK(config.optimizer.kind == OptimizerKind::kSgd);
  CHECK(config.optimizer.lr == 0.005);
  CHECK(config.training.epochs == 100);
  CHECK(config.training.batch_size == 8);
  CHECK(config.schedule.milestone_epochs == std::vector<double>{60, 85});
}

TEST_CASE("configs: FASSST decays every weight but those of norms, and no bias") {
  for (const std::string name : {"coco_416", "coco_416_r50_fpn", "tiny_shapes"}) {
    CAPTURE(name);
    const Config config = config_of(name);
    const std::unique_ptr<Segmenter> model = make_model(config.model, 1);
    i64 vectors = 0;
    for (const auto& [parameter, var] : nn::named_parameters(*model))
      vectors += var->rank() == 1 ? var->value().numel() : 0;
    CHECK(apply_groups(config.optimizer, *model)[0] == vectors);
  }
}
