// y[i0, ..., in] = x[sum_d i_d step_d] in CUDA: a copy with the dimensions in another order. Elements are moved as
// unsigned integers of their size.
//
// When the last dimension of y strides through x, and both it and the dimension that is contiguous in x are long
// enough, a block of 256 threads moves tiles of 32 x 32 elements of these two: rows are read into shared memory and
// columns written from it, so that both sides are accessed in whole lines; a padding column keeps the threads of a warp
// in different banks; of elements of 2 bytes and less a tile has 64 x 64. Otherwise threads copy element by element
// (ops/cuda/walk.h): one of the two is short, and neighbours share the cache lines. Where the last dimension stays the
// last, an element is a unit of up to 16 bytes.
// Memory limits all of it: each byte is read and written once.
#include "ops/arrange.h"
#include "ops/cuda/walk.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr i64 kShort = 8;  // sizes below would leave most of a tile empty

template <class Bits>
inline constexpr int kTile = sizeof(Bits) <= 2 ? 64 : 32;

// The two dimensions of a tile, and the others, which number the blocks.
struct Planes {
  i64 A, B;            // sizes: of the dimension contiguous in x, and in y
  i64 step_a, step_b;  // of A through y, of B through x
  Divider tiles_a, tiles_b;
  int rank = 0;  // of the others
  Divider size[Shape::kMaxRank];
  i64 x_step[Shape::kMaxRank], y_step[Shape::kMaxRank];
};

template <class Bits>
__global__ void permute_tiles_kernel(Planes planes, const Bits* __restrict__ x, Bits* __restrict__ y) {
  constexpr int kSide = kTile<Bits>, kRows = kMostThreads / kWarp;  // a warp has every kRows-th row of a tile
  constexpr int kAcross = kSide / kWarp, kEach = kSide * kSide / kMostThreads;
  struct Tile {
    Bits values[kSide][kSide + std::max<int>(1, 4 / sizeof(Bits))];
  };
  auto& [values] = shared_memory<Tile>();
  const u32 rows = blockIdx.x / planes.tiles_a;
  const i64 a0 = blockIdx.x % planes.tiles_a * kSide, b0 = rows % planes.tiles_b * kSide;
  u32 rest = rows / planes.tiles_b;
#pragma unroll 1  // there is seldom more than one
  for (int d = planes.rank - 1; d >= 0; --d) {
    const u32 i = rest % planes.size[d];
    rest = rest / planes.size[d];
    x += i * planes.x_step[d];
    y += i * planes.y_step[d];
  }
  // The thread's elements of the tile are so many rows and columns from its first, which is (warp, lane): visit(k,
  // down, across) for the k-th. What is inside has them below `width` and `height` where the tile is read.
  const auto each = [](const auto& visit) {
#pragma unroll
    for (int k = 0; k < kEach; ++k) visit(k, k / kAcross * kRows, k % kAcross * kWarp);
  };
  const Bits* const from = x + (b0 + warp()) * planes.step_b + a0 + lane();
  const auto inside = [](i64 begin, i64 end) { return static_cast<int>(std::min<i64>(kSide, end - begin)); };
  const int width = inside(a0, planes.A), height = inside(b0, planes.B);
  Bits read[kEach];
  each([&](int k, int down, int across) {
    const bool there = across < width - lane() && down < height - warp();
    read[k] = there ? from[down * planes.step_b + across] : Bits{};
  });
  each([&](int k, int down, int across) { values[warp() + down][lane() + across] = read[k]; });
  __syncthreads();
  Bits* const to = y + (a0 + warp()) * planes.step_a + b0 + lane();
  each([&](int, int down, int across) {
    if (across < height - lane() && down < width - warp())
      to[down * planes.step_a + across] = values[lane() + across][warp() + down];
  });
}

Planes planes_of(const ops::PermuteDims& dims) {
  Planes planes{};
  const int last = dims.rank - 1;
  i64 y_step = 1;
  for (int d = last; d >= 0; y_step *= dims.size[d--]) {
    if (d == last) {
      planes.B = dims.size[d], planes.step_b = dims.step[d];
    } else if (dims.step[d] == 1) {
      planes.A = dims.size[d], planes.step_a = y_step;
    } else {
      planes.size[planes.rank] = dims.size[d];
      planes.x_step[planes.rank] = dims.step[d];
      planes.y_step[planes.rank++] = y_step;
    }
  }
  return planes;
}

void permute_cuda(const ops::PermuteDims& dims, const Tensor& x, Tensor& y) {
  if (y.numel() == 0) return;
  Planes planes = planes_of(dims);
  if (std::min(planes.A, planes.B) < kShort) return copy_walk(dims.rank, dims.size, dims.step, x, y);
  dispatch_unit(static_cast<i64>(size_of(x.dtype())), [&]<class Bits>() {
    const i64 tiles_a = ceil_div(planes.A, kTile<Bits>), tiles_b = ceil_div(planes.B, kTile<Bits>);
    planes.tiles_a = tiles_a, planes.tiles_b = tiles_b;
    const i64 tiles = y.numel() / (planes.A * planes.B) * tiles_a * tiles_b;
    launch<permute_tiles_kernel<Bits>>(Launch{.grid = static_cast<unsigned>(tiles), .block = kMostThreads}, planes,
                                       static_cast<const Bits*>(x.raw()), static_cast<Bits*>(y.raw()));
  });
}

[[maybe_unused]] const bool kAdded = ops::permute_kernels.add(kDevice, permute_cuda);

}  // namespace

}  // namespace tessera
