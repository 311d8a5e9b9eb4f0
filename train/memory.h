// What a step of a training run will take from the device's memory, before there is one.
#pragma once

#include <memory>
#include <string>

#include "data/coco_source.h"
#include "train/config.h"

namespace tessera {

struct MemoryEstimate {
  size_t parameters = 0;   // weights with their gradients, moments and averages
  size_t activations = 0;  // the most that forward and backward pass take besides
  size_t available = 0;    // on the device, what this program has there included; SIZE_MAX: without a limit
  i64 pictures = 0;        // of a batch, each of this size: the largest that augmentation makes of the data
  ImageSize size = {};
  size_t total() const { return parameters + activations; }
  // "about 12.3 GiB for a step of 8 pictures of 640 x 864 (0.4 GiB weights, gradients and moments), 20.1 GiB available"
  std::string str() const;
};

// Parameters are counted. Activations are measured, with a model of its own, in steps on two small made-up pictures,
// and continued in a straight line to the largest batch: convolutions, masks and losses grow with the pixels. What the
// straight line leaves out: more objects in a picture than the average, and pictures that wait in the loader.
MemoryEstimate estimate_memory(const Config& config, const CocoSource& data, Device device);

}  // namespace tessera
