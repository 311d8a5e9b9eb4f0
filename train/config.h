// What a run is made of, as a TOML file says it. Each struct declares its options in fields(); the defaults are
// SparseInst's. `tessera train --help-options` and docs/options.md list them with their meanings, `tessera train CONFIG
// --dry-run` with their values.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/sample.h"
#include "data/transforms.h"
#include "models/model.h"
#include "ops/precision.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/schedule.h"

namespace tessera {

struct DataConfig {
  std::string train_annotations, train_images, val_annotations, val_images;
  bool skip_empty = true, group_by_aspect = true;
  double repeat_threshold = 0;
  i64 workers = 2, prefetch = 3;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(train_annotations,
                  "what to train on: an annotation file of COCO, LVIS or COCO panoptic, or a folder of Cityscapes");
    TESSERA_FIELD(train_images, "folder of its images");
    TESSERA_FIELD(val_annotations, "the same to evaluate on; empty: no evaluation");
    TESSERA_FIELD(val_images, "folder of its images");
    TESSERA_FIELD(skip_empty, "leave out training images without objects");
    TESSERA_FIELD(group_by_aspect, "a batch holds only wide or only tall images");
    TESSERA_FIELD(repeat_threshold,
                  "pictures with a class that less than this share of them has come more than once an epoch; LVIS: "
                  "0.001; 0: each once (docs/data.md)",
                  between(0, 1));
    TESSERA_FIELD(workers, "threads that load images; 0: none besides the one that trains", at_least(0));
    TESSERA_FIELD(prefetch, "batches that wait for training at most", at_least(1));
  }
};

struct InputConfig {
  ResizeRule resize = ResizeRule::kDetectron2;
  i64 shortest = 640, longest = 853;
  std::array<i64, 2> size = {416, 416};
  std::array<double, 3> mean = {123.675, 116.28, 103.53}, std = {58.395, 57.12, 57.375};
  i64 divisor = 32;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(
        resize,
        "whose rule, in training too: detectron2 and detr (FQDet) give the shorter side a length, letterbox (FASSST) "
        "fits into a fixed size, stretch fills it and loses the aspect; docs/training.md");
    TESSERA_FIELD(shortest, "evaluation and prediction: the shorter side is resized to this", at_least(1));
    TESSERA_FIELD(longest, "evaluation and prediction: ... unless the longer one would exceed this", at_least(1));
    TESSERA_FIELD(size, "letterbox, stretch: height and width of every input; multiples of divisor", at_least(1));
    TESSERA_FIELD(mean, "of red, green and blue, 0 to 255: subtracted from the pixels");
    TESSERA_FIELD(std, "of red, green and blue: the difference is divided by it", above(0));
    TESSERA_FIELD(divisor, "padded sides are multiples of this", at_least(1));
  }
  PixelStatistics statistics() const;
  ImageSize window() const { return {size[0], size[1]}; }
  ImageSize least() const { return has_window(resize) ? window() : ImageSize{}; }  // of a padded batch
  ImageSize size_of(ImageSize picture) const { return plain_size(picture, resize, shortest, longest, window()); }
};

struct AugmentOptions {
  AugmentConfig chain;  // flip, resize, crop
  std::vector<double> jitter_scale;
  std::array<i64, 2> jitter_size = {1024, 1024};

  template <class Field>
  void fields(Field&& field) {
    chain.fields(field);
    TESSERA_FIELD(jitter_scale,
                  "[min, max] of large scale jittering, which takes the place of resize and crop; []: none", above(0));
    TESSERA_FIELD(jitter_size, "height and width of the jittered picture; letterbox, stretch: input.size", at_least(1));
  }
  AugmentConfig config(const InputConfig& input) const;  // checked
};

// What of init_weights a model takes (train/transfer.h).
enum class Transfer { kParts, kNetwork, kRows };
inline auto names_of(Transfer) {
  return std::array{std::pair{"parts", Transfer::kParts}, std::pair{"network", Transfer::kNetwork},
                    std::pair{"rows", Transfer::kRows}};
}

struct TrainingConfig {
  i64 steps = 270'000;
  double epochs = 0;
  i64 batch_size = 64, accumulate = 1;
  u64 seed = 1;
  Precision precision = Precision::kHighest;
  bool mixed_precision = false, winograd = true, tune = true, graph = false, sync_batch_norm = true,
       tensorboard = false;
  double ema_decay = 0;
  i64 log_every = 20, checkpoint_every = 5000, keep_checkpoints = 2, compare_every = 1000;
  std::string init_weights, init_prefix;
  bool init_bgr = false;
  Transfer init_transfer = Transfer::kParts;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(steps, "updates of the parameters", at_least(1));
    TESSERA_FIELD(epochs, "passes over the training images, in place of steps; 0: as that says", at_least(0));
    TESSERA_FIELD(batch_size, "images of one forward pass, of all processes together", at_least(1));
    TESSERA_FIELD(accumulate, "passes per update, which sees batch_size * accumulate images", at_least(1));
    TESSERA_FIELD(seed, "of the initial weights, the order of the images and their augmentation");
    TESSERA_FIELD(precision, "of matrix products and convolutions (docs/precision.md)");
    TESSERA_FIELD(mixed_precision, "bf16 activations, on CUDA devices (docs/precision.md)");
    TESSERA_FIELD(graph,
                  "passes of sizes and numbers of objects that come again as a graph, on CUDA devices (docs/gpu.md)");
    TESSERA_FIELD(sync_batch_norm,
                  "of several processes: normalise with the statistics of the whole batch; false: of each one's share");
    TESSERA_FIELD(winograd, "3x3 convolutions by Winograd's algorithm (docs/winograd.md)");
    TESSERA_FIELD(
        tune,
        "convolutions on CUDA devices by the fastest of several algorithms, timed once per machine; false: by "
        "the one that cuDNN recommends (docs/gpu.md)");
    TESSERA_FIELD(ema_decay, "of a moving average of the weights, used for evaluation; 0: none", at_least(0).below(1));
    TESSERA_FIELD(log_every, "steps from one printed line to the next; the log file has every step", at_least(1));
    TESSERA_FIELD(tensorboard, "also write the log's figures as an event file, for TensorBoard (docs/training.md)");
    TESSERA_FIELD(checkpoint_every, "steps from one checkpoint to the next", at_least(1));
    TESSERA_FIELD(keep_checkpoints, "latest checkpoints that are kept, besides the best", at_least(1));
    TESSERA_FIELD(compare_every,
                  "of several processes: steps from one comparison of their weights and optimiser states to the next",
                  at_least(1));
    TESSERA_FIELD(init_weights,
                  "file to start from: a run's folder or checkpoint, or another tool's .safetensors, .pth, .pkl");
    TESSERA_FIELD(init_prefix, "put before the names of that file; empty: found out");
    TESSERA_FIELD(init_bgr, "its network took blue, green, red: exchange the channels of the first convolution");
    TESSERA_FIELD(init_transfer,
                  "what is taken of that file. parts: all that fits, as of a backbone; network: it must be the same "
                  "network, of which only what the classes or the input's size decide begins anew; rows: of that also "
                  "what was learned of classes of the same name (docs/weights.md)");
  }
};

struct EvaluationConfig {
  i64 every = 7330, batch_size = 1, patience = 0;
  std::string metric = "segm";
  bool loss = false;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(every, "steps from one evaluation to the next; also after the last; 0: only then", at_least(0));
    TESSERA_FIELD(batch_size, "images of one forward pass, of one process", at_least(1));
    TESSERA_FIELD(
        metric,
        "one of `tessera score` (coco- may be left out): its first figure decides which checkpoint is the best");
    TESSERA_FIELD(loss, "also the losses on the validation set, logged as val loss: one more forward pass per batch");
    TESSERA_FIELD(patience, "the run ends after so many evaluations in a row that did not raise that figure; 0: never",
                  at_least(0));
  }
};

struct Config {
  ModelConfig model;
  DataConfig data;
  InputConfig input;
  AugmentOptions augment;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  TrainingConfig training;
  EvaluationConfig evaluation;

  template <class Field>
  void fields(Field&& field) {
    TESSERA_FIELD(model, "the network");
    TESSERA_FIELD(data, "annotations and the folders of their images");
    TESSERA_FIELD(input, "how an image enters the network");
    TESSERA_FIELD(augment, "what happens to training images (docs/data.md)");
    TESSERA_FIELD(optimizer, "how gradients change the parameters");
    TESSERA_FIELD(schedule, "the learning rate over the steps, as a factor on optimizer.lr");
    TESSERA_FIELD(training, "length, batches, numbers, files");
    TESSERA_FIELD(evaluation, "evaluation while training");
  }
};

// The configuration that the settings make of `config`; values out of range are errors that name the option. Later
// settings win, also where one says in steps what another says in epochs. Relative paths stay as they are: they are
// relative to the working directory.
Config make_config(const std::vector<Setting>& settings, Config config = {});
Config read_config(const std::filesystem::path& config, const std::vector<std::string>& overrides = {});
std::string to_toml(const Config& config);

// Updates in a pass over so many training images, a mean where some are repeated.
double steps_per_epoch(const TrainingConfig& training, double images);
// Sets the steps (training.steps, schedule.milestones, schedule.warmup_steps) that the lengths in epochs mean, each to
// the nearest.
void resolve_epochs(Config& config, double images);

}  // namespace tessera
