// Normalising and padding on the CPU; ops/normalize_pad.h states the formula. A byte has 256 values: a table gives
// exactly the quotient, without a division per pixel. Threads share the rows.
#include "ops/normalize_pad.h"

#include <algorithm>

#include "ops/cpu/parallel.h"
#include "ops/scalar/norm.h"

namespace tessera::ops {
namespace {

void normalize_pad_cpu(const Tensor& image, const std::array<float, 3>& mean, const std::array<float, 3>& std,
                       Tensor& y) {
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c)
    for (size_t value = 0; value < 256; ++value)
      table[c][value] = scalar::standardised(static_cast<u8>(value), mean[c], std[c]);
  const i64 height = image.dim(0), width = 3 * image.dim(1), row = 3 * y.dim(1);  // in values
  const u8* in = image.data<u8>();
  float* out = y.data<float>();
  parallel_ranges(y.dim(0), std::max<i64>(1, (1 << 15) / std::max<i64>(1, row)), [&](i64 begin, i64 end) {
    for (i64 Y = begin; Y < end; ++Y) {
      const u8* from = in + Y * width;
      float* to = out + Y * row;
      const i64 filled = Y < height ? width : 0;
      for (i64 i = 0; i < filled; i += 3) {
        to[i] = table[0][from[i]];
        to[i + 1] = table[1][from[i + 1]];
        to[i + 2] = table[2][from[i + 2]];
      }
      std::fill(to + filled, to + row, 0.0f);
    }
  });
}

const bool kAdded = normalize_pad_kernels.add(DeviceKind::kCpu, normalize_pad_cpu);

}  // namespace
}  // namespace tessera::ops
