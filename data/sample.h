// One annotated picture ready for a network, and a batch of them.
//
// Pictures stay bytes, a quarter of the memory in a queue and on the way to a device; the device that computes makes
// the network's input of them (models/batch_images.h).
#pragma once

#include <array>
#include <filesystem>
#include <vector>

#include "data/image.h"
#include "tensor/tensor.h"

namespace tessera {

// What is to be found in one picture, at the size the network sees. K objects, crowd regions left out.
struct Targets {
  Tensor masks;                  // u8 [K, h, w], 0 or 1
  Tensor classes;                // i64 [K], 0-based class index
  Tensor boxes;                  // f32 [K, 4], x0 y0 x1 y1
  std::vector<i64> annotations;  // K annotation ids
  i64 count() const { return static_cast<i64>(annotations.size()); }
};

struct Sample {
  Tensor image;  // u8 [h, w, 3]
  Targets targets;
  ImageSize original;  // of the file
  i64 image_id = 0;
  i64 index = 0;               // in the data set
  std::filesystem::path file;  // empty: of none
  std::string name() const;    // for messages: the file, or "image 7"
};

// A network's view of pixels: y = (pixel - mean) / std, RGB 0..255. Defaults: ImageNet.
struct PixelStatistics {
  std::array<float, 3> mean = {123.675f, 116.28f, 103.53f};
  std::array<float, 3> std = {58.395f, 57.12f, 57.375f};
};

struct Batch {
  std::vector<Sample> samples;  // N; the shape of samples[n].image is the size before padding
  ImageSize padded;             // of the network's input
  PixelStatistics statistics;   // which it is normalised with
  i64 position = 0;             // number of this batch in the loader's stream
  i64 size() const { return static_cast<i64>(samples.size()); }
  i64 objects() const;  // of all pictures
  ImageSize size_of(i64 n) const { return {samples[n].image.dim(0), samples[n].image.dim(1)}; }
};

// `padded` becomes the largest height and width of the batch and of `least`, rounded up to multiples of `divisor`.
Batch make_batch(std::vector<Sample> samples, const PixelStatistics& statistics = {}, i64 divisor = 32,
                 ImageSize least = {});

}  // namespace tessera
