// A tiny SparseInst and a job to train it on either device, for the tests of whole networks.
#pragma once

#include "tests/models/tiny_sparseinst.h"
#include "train/trainer.h"

namespace tessera::test {

// Pictures of 64 x 64 with one to three rectangles.
class Rectangles : public SampleSource {
 public:
  i64 size() const override { return 4; }
  ImageSize original_size(i64) const override { return {64, 64}; }
  Sample load(i64, i64 index) const override {
    Batch batch = rectangles({2, 1, 3, 1});
    Sample sample = std::move(batch.samples[static_cast<size_t>(index)]);
    sample.index = index;
    sample.file = fmt::format("rectangles{}.png", index);
    return sample;
  }
};

// Four steps of AdamW, a checkpoint after each second.
inline Job make_job(const std::filesystem::path& folder, i64 steps = 4) {
  Job job;
  job.config.optimizer = {.lr = 1e-3, .clip_norm = 1};
  job.config.training.steps = steps;
  job.config.training.batch_size = 2;
  job.config.training.ema_decay = 0.9;
  job.config.training.checkpoint_every = 2;
  job.config.data.workers = 0;
  job.folder = folder;
  job.data = std::make_shared<Rectangles>();
  job.classes = {"red", "green", "blue"};
  job.category_ids = {1, 2, 3};
  job.quiet = true;
  return job;
}

inline std::unique_ptr<sparseinst::SparseInst> model_on(Device device) {
  std::unique_ptr<sparseinst::SparseInst> model = tiny_model();
  model->to(device);
  return model;
}

}  // namespace tessera::test
