// A walk over the elements of a contiguous y, and where each comes from: element i0, ..., in of y is element
// sum_d i_d step_d of a source, the steps being the source's own, 0 where it is repeated (ops/pointwise.h,
// ops/arrange.h).
#pragma once

#include <array>

#include "ops/cuda/divider.h"
#include "ops/cuda/units.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

template <int kSources>
class Walk {
 public:
  using At = std::array<i64, kSources>;

  // In pieces of `width` elements of the last dimension, along which no source jumps where width > 1; what is found are
  // multiples of `unit` elements.
  Walk(int rank, const i64* size, const std::array<const i64*, kSources>& step, i64 width, i64 unit) : rank_(rank) {
    for (int d = 0; d < rank; ++d) {
      const i64 piece = d == rank - 1 ? width : 1;
      size_[d] = size[d] / piece;
      pieces_ *= size[d] / piece;
      for (int s = 0; s < kSources; ++s) step_[s][d] = step[s][d] * piece / unit;
    }
    TESSERA_CHECK(pieces_ <= std::numeric_limits<i32>::max(),
                  "{}: {} pieces of {} elements are too many for one kernel; use a smaller batch", OpScope::current(),
                  pieces_, width);
  }
  i64 pieces() const { return pieces_; }

  __device__ At operator()(i64 piece) const {
    u32 rest = static_cast<u32>(piece);
    i64 at[kSources] = {};
#pragma unroll 1  // there is one, seldom two
    for (int d = rank_ - 1; d > 0; --d) {
      const u32 next = rest / size_[d], index = rest % size_[d];
      for (int s = 0; s < kSources; ++s) at[s] += index * step_[s][d];
      rest = next;
    }
    At result;
    for (int s = 0; s < kSources; ++s) result[s] = at[s] + rest * step_[s][0];
    return result;
  }

 private:
  int rank_;
  i64 pieces_ = 1;
  Divider size_[Shape::kMaxRank];
  i64 step_[kSources][Shape::kMaxRank];
};

template <class Unit>
__global__ void copy_walk_kernel(Walk<1> walk, i64 n, const Unit* x, Unit* y) {
  read_then_write(
      n, [&](i64 i) { return x[walk(i)[0]]; }, [&](i64 i, const Unit& unit) { y[i] = unit; });
}

// y[i] = x[where the walk finds i], in the largest units that fit.
inline void copy_walk(int rank, const i64* size, const i64* step, const Tensor& x, Tensor& y) {
  const i64 element = static_cast<i64>(size_of(x.dtype()));
  i64 unit = element;
  if (step[rank - 1] == 1) {
    i64 all = address_of(x.raw()) | address_of(y.raw()) | size[rank - 1] * element;
    for (int d = 0; d < rank - 1; ++d) all |= step[d] * element;
    unit = unit_of(all);
  }
  const i64 width = unit / element;
  const Walk<1> walk(rank, size, {step}, width, width);
  dispatch_unit(unit, [&]<class Unit>() {
    launch<copy_walk_kernel<Unit>>(over_batches(walk.pieces()), walk, walk.pieces(), static_cast<const Unit*>(x.raw()),
                                   static_cast<Unit*>(y.raw()));
  });
}

}  // namespace tessera::cuda
