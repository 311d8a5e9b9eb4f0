#include "tests/support/paths.h"
#include "train/config.h"

#include <doctest/doctest.h>

#include "tensor/file.h"
#include "tests/support/check_error.h"
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
  CHECK(!config.model.sparseinst.encoder.ppm);
  CHECK(config.model.sparseinst.decoder.depth == 2);
  CHECK(config.schedule.kind == ScheduleKind::kCosine);
  CHECK(config.augment.config().scale_jitter->max_scale == 2);
}

TEST_CASE("config: typos and wrong types name the place and the way out") {
  CHECK_ERROR(from_text("[model]\nnum_mask = 3\n"),
              "test.toml:2: unknown option model.num_mask; did you mean model.num_masks?");
  CHECK_ERROR(from_text("[training]\nlr = 3\n"), "test.toml:2: unknown option training.lr; did you mean optimizer.lr?");
  CHECK_ERROR(from_text("[model]\nname = \"maskrcnn\"\n"),
              "test.toml:2: model.name must be \"sparseinst\", got \"maskrcnn\"");
  CHECK_ERROR(from_text("[model.iam]\nkernel = \"5x5\"\n"), "model.iam.kernel must be one of \"1x1\"");
}

TEST_CASE("config: the backbone's kind decides which options it has, wherever it stands") {
  const Config config = from_text("[model.backbone]\nwidth = 0.5\nkind = \"mobilenet_v2\"\n");
  CHECK(config.model.sparseinst.backbone.width == 0.5);
  CHECK(to_toml(from_text(to_toml(config))) == to_toml(config));
  CHECK_ERROR(from_text("[model.backbone]\nkind = \"mobilenet_v2\"\ndeform = \"v1\"\n"),
              "test.toml:3: unknown option model.backbone.deform");
  CHECK_ERROR(from_text("[model.backbone]\nwidth = 0.5\n"), "test.toml:2: unknown option model.backbone.width");
  CHECK_ERROR(from_text("[model.backbone]\nkind = \"vgg\"\n"), "model.backbone.kind must be one of \"tiny\"");
}

TEST_CASE("config: values out of range are errors") {
  CHECK_ERROR(from_text("[training]\nsteps = 0\n"), "training.steps is 0, at least 1 is needed");
  CHECK_ERROR(from_text("[training]\nema_decay = 1.0\n"), "training.ema_decay is 1");
  CHECK_ERROR(from_text("[optimizer]\nlr = nan\n"), "optimizer.lr is nan");
  CHECK_ERROR(from_text("[optimizer]\nbeta2 = 1\n"), "optimizer.beta2 is 1");
  CHECK_ERROR(from_text("[input]\nstd = [1, 0, 1]\n"), "input.std has 0");
  CHECK_ERROR(from_text("[augment]\njitter_scale = [1]\n"), "augment.jitter_scale must be [min, max]");
}

TEST_CASE("config: every file in configs/ is a valid configuration") {
  int files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(test::source_dir() / "configs")) {
    if (entry.path().extension() != ".toml") continue;
    ++files;
    CHECK_NOTHROW_MESSAGE(read_config(entry.path()), entry.path().string());
  }
  CHECK(files > 10);
}
