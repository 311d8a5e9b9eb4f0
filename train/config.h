// What a run is made of, as a TOML file says it. Each struct lists its options once (train/options.h); the defaults are
// SparseInst's. `tessera train CONFIG --dry-run` prints all of them with their values.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/sample.h"
#include "data/transforms.h"
#include "models/segmenter.h"
#include "models/sparseinst/config.h"
#include "ops/precision.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/schedule.h"

namespace tessera {

// [model]: the name decides which options the section has besides.
struct ModelConfig {
  std::string name = "sparseinst";
  SparseInstConfig sparseinst;

  template <class Field>
  void fields(Field&& field) {
    field("name", name);
    if (name == "sparseinst") sparseinst.fields(field);
  }
  i64& num_classes() { return sparseinst.num_classes; }
  i64 most_objects() const { return sparseinst.num_masks; }  // that the network can find in a picture
  double score_threshold() const { return sparseinst.inference.score_threshold; }
};

// [data]: COCO annotation files and the folders of their images.
struct DataConfig {
  std::string train_annotations, train_images;
  std::string val_annotations, val_images;  // empty: no evaluation while training
  bool skip_empty = true;                   // leave out training images without objects
  bool group_by_aspect = true;              // a batch holds only wide or only tall images
  i64 workers = 2, prefetch = 3;            // loader threads; batches waiting

  template <class Field>
  void fields(Field&& field) {
    field("train_annotations", train_annotations);
    field("train_images", train_images);
    field("val_annotations", val_annotations);
    field("val_images", val_images);
    field("skip_empty", skip_empty);
    field("group_by_aspect", group_by_aspect);
    field("workers", workers);
    field("prefetch", prefetch);
  }
};

// [input]: how an image enters the network. Shorter and longer side hold for evaluation and prediction.
struct InputConfig {
  i64 shortest = 640, longest = 853;
  std::array<double, 3> mean = {123.675, 116.28, 103.53}, std = {58.395, 57.12, 57.375};  // RGB, 0 .. 255
  i64 divisor = 32;  // padded sides are multiples of this

  template <class Field>
  void fields(Field&& field) {
    field("shortest", shortest);
    field("longest", longest);
    field("mean", mean);
    field("std", std);
    field("divisor", divisor);
  }
  PixelStatistics statistics() const;
};

// [augment]: what happens to training images (data/transforms.h).
struct AugmentOptions {
  AugmentConfig chain;               // flip, resize, crop
  std::vector<double> jitter_scale;  // [min, max] turns on large scale jittering in place of resize and crop
  std::array<i64, 2> jitter_size = {1024, 1024};  // height, width

  template <class Field>
  void fields(Field&& field) {
    field("flip_probability", chain.flip_probability);
    field("shortest", chain.shortest);
    field("longest", chain.longest);
    field("crop_probability", chain.crop_probability);
    field("crop_shortest", chain.crop_shortest);
    field("crop_min", chain.crop_min);
    field("crop_max", chain.crop_max);
    field("jitter_scale", jitter_scale);
    field("jitter_size", jitter_size);
  }
  AugmentConfig config() const;  // checked
};

// [training]
struct TrainingConfig {
  i64 steps = 270'000;
  i64 batch_size = 64;  // images of one forward pass
  i64 accumulate = 1;   // passes per update; an update sees batch_size * accumulate images
  u64 seed = 1;
  Precision precision = Precision::kHighest;  // of matrix products and convolutions (docs/precision.md)
  bool mixed_precision = false;               // bf16 activations, on CUDA devices (docs/precision.md)
  bool winograd = true;                       // 3x3 convolutions by Winograd's algorithm (docs/winograd.md)
  double ema_decay = 0;                       // moving average of the weights, used for evaluation; 0: none
  i64 log_every = 20;                         // printed lines (the file has every step)
  i64 checkpoint_every = 5000;
  i64 keep_checkpoints = 2;  // besides the best
  std::string init_weights;  // a file to start from: ours, or another tool's .safetensors, .pth or .pkl
  std::string init_prefix;   // put before the file's names; empty: found out
  bool init_bgr = false;     // the file's network took blue, green, red: exchange the channels of its first convolution

  template <class Field>
  void fields(Field&& field) {
    field("steps", steps);
    field("batch_size", batch_size);
    field("accumulate", accumulate);
    field("seed", seed);
    field("precision", precision);
    field("mixed_precision", mixed_precision);
    field("winograd", winograd);
    field("ema_decay", ema_decay);
    field("log_every", log_every);
    field("checkpoint_every", checkpoint_every);
    field("keep_checkpoints", keep_checkpoints);
    field("init_weights", init_weights);
    field("init_prefix", init_prefix);
    field("init_bgr", init_bgr);
  }
};

enum class Metric { kSegm, kBbox };
inline auto names_of(Metric) {
  return std::array{std::pair{"segm", Metric::kSegm}, std::pair{"bbox", Metric::kBbox}};
}

// [evaluation]
struct EvaluationConfig {
  i64 every = 7330;  // steps; also after the last one. 0: only after the last one
  i64 batch_size = 1;
  Metric metric = Metric::kSegm;  // whose AP decides which checkpoint is the best

  template <class Field>
  void fields(Field&& field) {
    field("every", every);
    field("batch_size", batch_size);
    field("metric", metric);
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
    field("model", model);
    field("data", data);
    field("input", input);
    field("augment", augment);
    field("optimizer", optimizer);
    field("schedule", schedule);
    field("training", training);
    field("evaluation", evaluation);
  }
};

// The configuration that the settings make of `config`; values out of range are errors that name the option. Later
// settings win. Relative paths stay as they are: they are relative to the working directory.
Config make_config(const std::vector<Setting>& settings, Config config = {});
Config read_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});
std::string to_toml(const Config& config);

// The model that the configuration names, with initial weights that depend on the seed alone.
std::unique_ptr<Segmenter> make_model(const ModelConfig& config, u64 seed);

}  // namespace tessera
