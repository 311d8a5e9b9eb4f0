// What `predict --stages` draws and counts.
#include "cli/mask_stages.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "cli/predict.h"
#include "data/image.h"
#include "data/noise.h"
#include "tensor/file.h"
#include "tests/models/tiny_effseg.h"
#include "tests/models/tiny_fqdet.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera::test {

namespace {

constexpr ImageSize kSize = {64, 96};

Batch picture_of(ImageSize size) {
  std::vector<Sample> samples = noise_samples(1, size, 1, 3);
  samples[0].original = {2 * size.height, 2 * size.width};
  return make_batch(std::move(samples));
}

}  // namespace

TEST_CASE("mask stages: the first stage computes all cells, each that follows four times those that are refined") {
  const auto model = tiny_effseg();  // refines 100 cells
  model->eval();
  model->given = Segmenter::Found{.objects = 6, .queries = 4};
  const MaskStages stages(*model, picture_of(kSize));
  REQUIRE(stages.cells().size() == 4);
  CHECK(stages.cells()[0].share() == 1);
  for (size_t s = 0; s < 4; ++s) {
    const i64 side = 14 << s;
    CHECK(stages.cells()[s].size == side);
    CHECK(stages.cells()[s].all == 4 * side * side);
    if (s > 0) CHECK(stages.cells()[s].active == 400);
  }
  MaskStages::Cells sum = stages.cells()[1];
  sum += stages.cells()[1];
  CHECK(sum.share() == doctest::Approx(400.0 / (4 * 28 * 28)));
}

TEST_CASE("mask stages: a tile per stage, the cells that it does not compute darkened") {
  const auto model = tiny_effseg();
  model->eval();
  model->given = Segmenter::Found{.objects = 4, .queries = 4};
  const MaskStages stages(*model, picture_of(kSize));
  const Tensor white = Tensor::full({2 * kSize.height, 2 * kSize.width, 3}, 255, DType::kU8);
  i64 dark = 0, computed = 0;  // pixels of the second tiles
  for (i64 query = 0; query < 4; ++query) {
    const Tensor tiles = stages.picture(white, query);
    REQUIRE(tiles.shape() == Shape{336, 4 * 336 + 3 * 4, 3});
    for (i64 y = 12; y < 336; ++y)  // below the text
      for (i64 x = 340; x < 340 + 336; ++x) {
        const u8 blue = tiles.data<u8>()[(y * tiles.dim(1) + x) * 3 + 2];
        (blue == 255 ? computed : dark) += 1;  // 255 is a computed cell outside of the mask
      }
  }
  CHECK(computed + dark == 4 * 324 * 336);
  CHECK(dark >= 4 * 324 * 336 - 400 * 12 * 12);
  CHECK_ERROR(stages.picture(white, 50), "query 50 has no mask");
}

TEST_CASE("mask stages: heads without stages and detectors are refused") {
  const auto mask_rcnn = tiny_effseg(tiny_effseg_config(effseg::HeadKind::kMaskRcnn));
  CHECK_ERROR(check_mask_stages(*mask_rcnn, "predict --stages"),
              "predict --stages: the model does not refine masks in stages");
  CHECK_ERROR(check_mask_stages(*tiny_fqdet(), "predict --stages"), "does not refine");
  check_mask_stages(*tiny_effseg(), "predict --stages");
  const MaskStages::Cells none;
  CHECK(none.share() == 0);
}

TEST_CASE("mask stages: predict draws them for each object that it draws") {
  const TemporaryFolder folder;
  save_png(folder / "one.png", noise_samples(1, {48, 64}, 1, 3)[0].image);
  Config config;
  config.input.shortest = 48;
  config.input.longest = 64;
  auto model = tiny_effseg();
  model->eval();
  model->given = Segmenter::Found{.objects = 5, .queries = 5};
  const LoadedModel loaded{{.classes = {"a", "b", "c"}, .category_ids = {1, 2, 3}}, config, std::move(model)};
  const auto out = folder / "out";
  PredictOptions options;
  options.images = {folder / "one.png"};
  options.out = out.string();
  options.threshold = 0;
  options.stages = true;
  REQUIRE(predict(loaded, options) == 0);
  const nlohmann::json results = nlohmann::json::parse(read_file(out / "results.json"));
  REQUIRE(!results.empty());
  for (size_t k = 0; k < 6; ++k)
    CHECK(std::filesystem::exists(out / fmt::format("one-stages{:02}.png", k)) == (k < results.size()));
  CHECK(image_size(out / "one-stages00.png") == ImageSize{336, 4 * 336 + 3 * 4});
}

}  // namespace tessera::test
