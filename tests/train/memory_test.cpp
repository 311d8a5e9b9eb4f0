#include "train/memory.h"

#include <doctest/doctest.h>

#include "data/shapes.h"
#include "tensor/allocator.h"
#include "tests/support/temporary_folder.h"
#include "train/trainer.h"

using namespace tessera;

TEST_CASE("memory: the estimate before the first step is what a run then takes, within a fifth") {
  const test::TemporaryFolder folder;
  generate_shapes({.dir = folder.path(), .train = 6, .val = 1, .size = 96});
  Config config;
  sparseinst::Config& model = std::get<sparseinst::Config>(config.model.network);
  model.backbone.kind = BackboneKind::kTiny;
  model.backbone.norm = nn::Norm::kBatch;
  model.num_classes = 3;
  model.num_masks = 20;
  model.encoder.channels = model.decoder.width = 32;
  model.decoder.depth = 2;
  config.augment.chain.shortest = {320};
  config.augment.chain.longest = 320;
  config.training.steps = 2;
  config.training.batch_size = 3;
  config.training.ema_decay = 0.9;
  const auto data =
      std::make_shared<CocoSource>(std::make_shared<const CocoDataset>(load_coco(folder / "instances_train.json")),
                                   folder / "train", CocoSourceConfig{.augment = config.augment.config(config.input)});
  const size_t before = memory_report().allocated;
  const MemoryEstimate estimate = estimate_memory(config, *data, {});
  CHECK(memory_report().allocated == before);
  CHECK(estimate.size == ImageSize{320, 320});
  CHECK(estimate.pictures == 3);
  CHECK(estimate.available > 0);

  const std::unique_ptr<Segmenter> network = make_model(config.model, 1);
  const i64 parameters = nn::count_parameters(*network);
  CHECK(estimate.parameters == static_cast<size_t>(5 * parameters) * sizeof(float));  // gradient, 2 moments, average
  train(*network, {.config = config,
                   .folder = folder / "run",
                   .data = data,
                   .classes = {"a", "b", "c"},
                   .category_ids = {1, 2, 3},
                   .evaluate = {},
                   .quiet = true});
  const double taken = static_cast<double>(memory_report().peak - before);
  INFO("estimated ", estimate.total(), ", taken ", taken);
  CHECK(static_cast<double>(estimate.total()) == doctest::Approx(taken).epsilon(0.2));
}
