// The numbers of a model, measured while it runs: work by module, memory, time by part.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/segmenter.h"
#include "nn/profile.h"
#include "train/config.h"

namespace tessera {

// "480x640": height and width; "640": both.
ImageSize parse_size(const std::string& text);

// A batch of one made-up picture. With a size the network sees just that (its sides rounded up to the divisor); without
// one, a picture of 480 x 640, COCO's most common size, is resized as the configuration says.
Batch measured_batch(const Config& config, const std::optional<ImageSize>& size);

// What every module does in one detection; the root first.
std::vector<nn::ModuleRun> measure_modules(Segmenter& model, const Batch& batch);

struct Memory {
  size_t forward = 0;  // the most that tensors took at any time of a detection, besides weights and batch
  size_t tape = 0;     // what waits for the backward pass after the loss of a training step
};
Memory measure_memory(Segmenter& model, const Batch& batch);

struct Percentiles {
  double p10 = 0, median = 0, p90 = 0, p99 = 0;
};
Percentiles percentiles(std::vector<double> values);  // between neighbours linear

struct Speed {
  struct Part {
    std::string name;  // "backbone", ...; "post-processing" is what no module claims
    Percentiles seconds;
  };
  std::vector<Part> parts;  // none where a graph runs: its modules are launched as one
  Percentiles seconds;      // of the whole detection, from the normalised batch to the masks of the original picture
  i64 runs = 0;
  double images_per_second() const { return 1 / seconds.median; }
};

// Detects in the batch twice to warm up, then at least five times and at least for so many seconds. `done` hears the
// finished share of the work.
Speed measure_speed(Segmenter& model, const Batch& batch, double seconds,
                    const std::function<void(double share)>& done = {});

}  // namespace tessera
