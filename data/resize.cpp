// Both passes of the bilinear resize are one kernel, a weighted sum of rows of bytes:
//
//   out[j] = (half + sum over t of weights[t] * rows[t][j]) >> 22,   j = 0 .. n-1
//
// The pass along the height calls it on picture rows. The pass along the width turns a strip of rows on its side
// first, so that "a column of the strip" is contiguous, and calls it on those: then no pass has to gather single bytes.
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera {

namespace {

// Weights add up to one: bytes times weights of 22 bits stay below 2^31.
constexpr int kWeightBits = 22;
constexpr i64 kMaxSide = i64{1} << 16;

// Which source pixels make each output pixel along one axis: pixels first .. first + count - 1 with `stride` weights
// kept per output pixel.
struct Coefficients {
  struct Range {
    i64 first, count;
  };
  std::vector<Range> ranges;
  std::vector<i32> weights;
  i64 stride = 0;

  Coefficients(i64 in_size, i64 out_size) {
    const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
    const double support = std::max(scale, 1.0);
    const double step = 1.0 / support;
    stride = static_cast<i64>(std::ceil(support)) * 2 + 1;
    ranges.resize(static_cast<size_t>(out_size));
    weights.assign(static_cast<size_t>(out_size * stride), 0);
    std::vector<double> exact(static_cast<size_t>(stride));
    for (i64 out = 0; out < out_size; ++out) {
      const double centre = (static_cast<double>(out) + 0.5) * scale;
      const i64 first = std::max(static_cast<i64>(centre - support + 0.5), i64{0});
      const i64 count = std::min(static_cast<i64>(centre + support + 0.5), in_size) - first;
      double sum = 0;
      for (i64 t = 0; t < count; ++t) {
        const double distance = std::abs((static_cast<double>(t + first) - centre + 0.5) * step);
        exact[t] = std::max(1.0 - distance, 0.0);
        sum += exact[t];
      }
      for (i64 t = 0; t < count; ++t) {
        weights[out * stride + t] = static_cast<i32>(0.5 + exact[t] / sum * (1 << kWeightBits));
      }
      ranges[out] = {first, count};
    }
  }
};

// Values whose sums are kept in registers; a multiple of the three channels of an image.
constexpr i64 kBlock = 48;

// Rows lie `pitch` bytes apart. Written once, compiled for the baseline and for AVX2; the loops of kBlock turns become
// vector code.
[[gnu::always_inline]] inline void weighted_rows(const u8* rows, i64 pitch, const i32* weights, i64 count, i64 n,
                                                 u8* out) {
  constexpr i32 kHalf = 1 << (kWeightBits - 1);
  i64 j = 0;
  for (; j + kBlock <= n; j += kBlock) {
    i32 sums[kBlock];
    for (i64 i = 0; i < kBlock; ++i) sums[i] = kHalf + rows[j + i] * weights[0];
    for (i64 t = 1; t < count; ++t) {
      for (i64 i = 0; i < kBlock; ++i) sums[i] += rows[t * pitch + j + i] * weights[t];
    }
    for (i64 i = 0; i < kBlock; ++i) out[j + i] = static_cast<u8>(sums[i] >> kWeightBits);
  }
  for (; j < n; ++j) {
    i32 sum = kHalf;
    for (i64 t = 0; t < count; ++t) sum += rows[t * pitch + j] * weights[t];
    out[j] = static_cast<u8>(sum >> kWeightBits);
  }
}

using WeightedRows = void(const u8*, i64, const i32*, i64, i64, u8*);

void weighted_rows_baseline(const u8* rows, i64 pitch, const i32* weights, i64 count, i64 n, u8* out) {
  weighted_rows(rows, pitch, weights, count, n, out);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void weighted_rows_avx2(const u8* rows, i64 pitch, const i32* weights, i64 count, i64 n,
                                                u8* out) {
  weighted_rows(rows, pitch, weights, count, n, out);
}
#endif

WeightedRows* best_weighted_rows() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return weighted_rows_avx2;
#endif
  return weighted_rows_baseline;
}

// [H, W, C] to [H, width, C].
Tensor resize_width(const Tensor& image, i64 width) {
  static WeightedRows* const sum_rows = best_weighted_rows();
  const i64 height = image.dim(0), in_width = image.dim(1), channels = image.dim(2);
  const i64 strip = kBlock / channels;  // rows
  const Coefficients coefficients(in_width, width);
  Tensor result = Tensor::empty({height, width, channels}, DType::kU8);
  std::vector<u8> columns(static_cast<size_t>(in_width * kBlock)), sums(kBlock);
  for (i64 top = 0; top < height; top += strip) {
    const i64 rows = std::min(strip, height - top);
    for (i64 y = 0; y < rows; ++y) {  // (y, x, c) -> (x, c, y)
      const u8* source = image.data<u8>() + (top + y) * in_width * channels;
      for (i64 xc = 0; xc < in_width * channels; ++xc) columns[xc * strip + y] = source[xc];
    }
    for (i64 x = 0; x < width; ++x) {
      const auto [first, count] = coefficients.ranges[x];
      sum_rows(columns.data() + first * kBlock, kBlock, &coefficients.weights[x * coefficients.stride], count, kBlock,
               sums.data());
      u8* target = result.data<u8>() + (top * width + x) * channels;
      for (i64 y = 0; y < rows; ++y) {
        for (i64 c = 0; c < channels; ++c) target[y * width * channels + c] = sums[c * strip + y];
      }
    }
  }
  return result;
}

// [H, W, C] to [height, W, C].
Tensor resize_height(const Tensor& image, i64 height) {
  static WeightedRows* const sum_rows = best_weighted_rows();
  const i64 row = image.dim(1) * image.dim(2);
  const Coefficients coefficients(image.dim(0), height);
  Tensor result = Tensor::empty({height, image.dim(1), image.dim(2)}, DType::kU8);
  for (i64 y = 0; y < height; ++y) {
    const auto [first, count] = coefficients.ranges[y];
    sum_rows(image.data<u8>() + first * row, row, &coefficients.weights[y * coefficients.stride], count, row,
             result.data<u8>() + y * row);
  }
  return result;
}

void check_sizes(const char* op, ImageSize from, ImageSize to) {
  for (const i64 side : {from.height, from.width, to.height, to.width}) {
    TESSERA_CHECK(side > 0 && side <= kMaxSide, "{}: {} x {} to {} x {} pixels: sides must be 1 to {}", op, from.height,
                  from.width, to.height, to.width, kMaxSide);
  }
}

std::vector<i64> nearest_positions(i64 in_size, i64 out_size, Nearest rule) {
  if (rule == Nearest::kPyTorch) {
    const float scale = static_cast<float>(in_size) / static_cast<float>(out_size);
    std::vector<i64> positions;
    for (i64 out = 0; out < out_size; ++out)
      positions.push_back(std::min(static_cast<i64>(static_cast<float>(out) * scale), in_size - 1));
    return positions;
  }
  // The centres' positions are summed up step by step, as PIL does.
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  std::vector<i64> positions(static_cast<size_t>(out_size));
  double at = scale * 0.5;
  for (i64& position : positions) {
    position = std::min(static_cast<i64>(at), in_size - 1);
    at += scale;
  }
  return positions;
}

}  // namespace

Tensor resize_bilinear(const Tensor& image, ImageSize size) {
  TESSERA_CHECK(image.dtype() == DType::kU8 && (image.rank() == 2 || (image.rank() == 3 && image.dim(2) == 3)),
                "resize_bilinear: expected u8 [H, W, 3] or [H, W], got {} {}", name_of(image.dtype()), image.shape());
  const bool grey = image.rank() == 2;
  const ImageSize from{image.dim(0), image.dim(1)};
  check_sizes("resize_bilinear", from, size);
  Tensor result = image.reshape({from.height, from.width, grey ? 1 : 3});
  if (size.width != from.width) result = resize_width(result, size.width);
  if (size.height != from.height) result = resize_height(result, size.height);
  return grey ? result.reshape({size.height, size.width}) : result;
}

Tensor resize_nearest(const Tensor& masks, ImageSize size, Nearest rule) {
  TESSERA_CHECK(masks.dtype() == DType::kU8 && masks.rank() == 3, "resize_nearest: expected u8 [K, H, W], got {} {}",
                name_of(masks.dtype()), masks.shape());
  const ImageSize from{masks.dim(1), masks.dim(2)};
  check_sizes("resize_nearest", from, size);
  if (from == size) return masks;
  Tensor result = Tensor::empty({masks.dim(0), size.height, size.width}, DType::kU8);
  const std::vector<i64> rows = nearest_positions(from.height, size.height, rule);
  const std::vector<i64> columns = nearest_positions(from.width, size.width, rule);
  u8* target = result.data<u8>();
  for (i64 k = 0; k < masks.dim(0); ++k) {
    for (const i64 row : rows) {
      const u8* source = masks.data<u8>() + (k * from.height + row) * from.width;
      for (const i64 column : columns) *target++ = source[column];
    }
  }
  return result;
}

}  // namespace tessera
