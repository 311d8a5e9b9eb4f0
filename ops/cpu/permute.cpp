// y[i0, ..., in] = x[sum_d i_d step_d]: a copy with the dimensions in another order.
//
// When the last dimension of y is also contiguous in x, whole runs are copied. Otherwise y's last dimension strides
// through x, and the dimension that is contiguous in x strides through y: the two are walked together in square tiles
// that stay in the first-level cache on both sides. Elements are moved as unsigned integers of their size.
#include <algorithm>
#include <cstring>

#include "ops/arrange.h"
#include "ops/cpu/parallel.h"

namespace tessera {

namespace {

constexpr i64 kTile = 32;
constexpr i64 kGrainBytes = 1 << 17;

struct Offsets {
  i64 x = 0, y = 0;
};

// Where the block with number `index` over all dimensions but the last and `skipped` starts.
Offsets block_offsets(const ops::PermuteDims& dims, const i64* y_step, int skipped, i64 index) {
  Offsets at;
  for (int d = dims.rank - 2; d >= 0; --d) {
    if (d == skipped) continue;
    const i64 i = index % dims.size[d];
    index /= dims.size[d];
    at.x += i * dims.step[d];
    at.y += i * y_step[d];
  }
  return at;
}

template <class Bits>
void permute_elements(const ops::PermuteDims& dims, const Bits* x, Bits* y, i64 numel) {
  const int last = dims.rank - 1;
  i64 y_step[Shape::kMaxRank];
  y_step[last] = 1;
  for (int d = last - 1; d >= 0; --d) y_step[d] = y_step[d + 1] * dims.size[d + 1];
  const i64 B = dims.size[last], step_b = dims.step[last], element = sizeof(Bits);
  if (step_b == 1) {
    parallel_ranges(numel / B, std::max<i64>(1, kGrainBytes / (B * element)), [&](i64 begin, i64 end) {
      for (i64 run = begin; run < end; ++run) {
        const Offsets at = block_offsets(dims, y_step, -1, run);
        std::memcpy(y + at.y, x + at.x, static_cast<size_t>(B * element));
      }
    });
    return;
  }
  const int a = static_cast<int>(std::find(dims.step, dims.step + dims.rank, 1) - dims.step);  // contiguous in x
  const i64 A = dims.size[a], step_a = y_step[a];
  const i64 tiles_a = (A + kTile - 1) / kTile, tiles_b = (B + kTile - 1) / kTile;
  parallel_ranges(numel / (A * B) * tiles_a * tiles_b, std::max<i64>(1, kGrainBytes / (kTile * kTile * element)),
                  [&](i64 begin, i64 end) {
                    for (i64 tile = begin; tile < end; ++tile) {
                      const i64 a0 = tile % tiles_a * kTile, b0 = tile / tiles_a % tiles_b * kTile;
                      const i64 a1 = std::min(a0 + kTile, A), b1 = std::min(b0 + kTile, B);
                      const Offsets at = block_offsets(dims, y_step, a, tile / tiles_a / tiles_b);
                      for (i64 i = a0; i < a1; ++i)
                        for (i64 j = b0; j < b1; ++j) y[at.y + i * step_a + j] = x[at.x + i + j * step_b];
                    }
                  });
}

void permute_cpu(const ops::PermuteDims& dims, const Tensor& x, Tensor& y) {
  if (x.numel() == 0) return;
  const auto run = [&]<class Bits>() {
    permute_elements(dims, static_cast<const Bits*>(x.raw()), static_cast<Bits*>(y.raw()), x.numel());
  };
  switch (size_of(x.dtype())) {
    case 1:
      return run.operator()<u8>();
    case 2:
      return run.operator()<u16>();
    case 4:
      return run.operator()<u32>();
    default:
      return run.operator()<u64>();
  }
}

[[maybe_unused]] const bool kAdded = ops::permute_kernels.add(DeviceKind::kCpu, permute_cpu);

}  // namespace

}  // namespace tessera
