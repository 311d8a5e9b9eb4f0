// y[i0, ..., in] = x[sum_d i_d step_d] in CUDA: a copy with the dimensions in another order. Elements are moved as
// unsigned integers of their size.
//
// When the last dimension of y strides through x, and both it and the dimension that is contiguous in x are long
// enough, a block of 256 threads moves tiles of 32 x 32 elements of these two: rows are read into shared memory and
// columns written from it, so that both sides are accessed in whole lines; a padding column keeps the threads of a warp
// in different banks. Otherwise a thread copies a single element: one of the two is short, and its neighbours share the
// cache lines. Where the last dimension stays the last, an element is a unit of up to 16 bytes (ops/cuda/units.h).
// Memory limits all of it: each byte is read and written once.
#include "ops/arrange.h"
#include "ops/cuda/units.h"

namespace tessera {

namespace {

using namespace cuda;

constexpr int kTile = 32, kTileRows = 8;  // a thread has every kTileRows-th row of a tile
constexpr i64 kShort = 8;                 // sizes below would leave most of a tile empty

template <class Bits>
__global__ void permute_elements_kernel(i64 n, ops::PermuteDims dims, const Bits* x, Bits* y) {
  for (const i64 i : indices(n)) {
    i64 from = 0, rest = i;
    for (int d = dims.rank - 1; d >= 0; --d) {
      from += rest % dims.size[d] * dims.step[d];
      rest /= dims.size[d];
    }
    y[i] = x[from];
  }
}

// The two dimensions of a tile, and the others, which number the blocks.
struct Planes {
  i64 A, B;            // sizes: of the dimension contiguous in x, and in y
  i64 step_a, step_b;  // of A through y, of B through x
  i64 tiles_a, tiles_b;
  int rank = 0;  // of the others
  i64 size[Shape::kMaxRank], x_step[Shape::kMaxRank], y_step[Shape::kMaxRank];
};

template <class Bits>
__global__ void permute_tiles_kernel(Planes planes, const Bits* x, Bits* y) {
  struct Tile {
    Bits values[kTile][kTile + 1];
  };
  auto& [values] = shared_memory<Tile>();
  const int column = static_cast<int>(threadIdx.x) % kTile, row = static_cast<int>(threadIdx.x) / kTile;
  const i64 block = blockIdx.x, a0 = block % planes.tiles_a * kTile,
            b0 = block / planes.tiles_a % planes.tiles_b * kTile;
  i64 rest = block / planes.tiles_a / planes.tiles_b;
  for (int d = planes.rank - 1; d >= 0; --d) {
    const i64 i = rest % planes.size[d];
    rest /= planes.size[d];
    x += i * planes.x_step[d];
    y += i * planes.y_step[d];
  }
  for (int r = row; r < kTile; r += kTileRows)
    if (a0 + column < planes.A && b0 + r < planes.B) values[r][column] = x[a0 + column + (b0 + r) * planes.step_b];
  __syncthreads();
  for (int r = row; r < kTile; r += kTileRows)
    if (a0 + r < planes.A && b0 + column < planes.B) y[(a0 + r) * planes.step_a + b0 + column] = values[column][r];
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
  planes.tiles_a = ceil_div(planes.A, kTile);
  planes.tiles_b = ceil_div(planes.B, kTile);
  return planes;
}

void permute_cuda(const ops::PermuteDims& dims, const Tensor& x, Tensor& y) {
  if (y.numel() == 0) return;
  const i64 element = static_cast<i64>(size_of(x.dtype()));
  const Planes planes = planes_of(dims);
  if (std::min(planes.A, planes.B) >= kShort)
    return dispatch_unit(element, [&]<class Bits>() {
      const i64 tiles = y.numel() / (planes.A * planes.B) * planes.tiles_a * planes.tiles_b;
      launch<permute_tiles_kernel<Bits>>(Launch{.grid = static_cast<unsigned>(tiles), .block = kTile * kTileRows},
                                         planes, static_cast<const Bits*>(x.raw()), static_cast<Bits*>(y.raw()));
    });
  const int last = dims.rank - 1;
  i64 unit = element;
  if (dims.step[last] == 1) {
    i64 all = address_of(x.raw()) | address_of(y.raw()) | dims.size[last] * element;
    for (int d = 0; d < last; ++d) all |= dims.step[d] * element;
    unit = unit_of(all);
  }
  ops::PermuteDims moved = dims;  // in units
  moved.size[last] = dims.size[last] * element / unit;
  for (int d = 0; d < last; ++d) moved.step[d] = dims.step[d] * element / unit;
  dispatch_unit(unit, [&]<class Bits>() {
    const i64 n = y.numel() * element / unit;
    launch<permute_elements_kernel<Bits>>(over(n), n, moved, static_cast<const Bits*>(x.raw()),
                                          static_cast<Bits*>(y.raw()));
  });
}

[[maybe_unused]] const bool kAdded = ops::permute_kernels.add(kDevice, permute_cuda);

}  // namespace

}  // namespace tessera
