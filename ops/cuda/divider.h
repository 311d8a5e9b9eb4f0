// Division by a number that the host knows: a multiplication and a shift, where a GPU takes some twenty instructions
// for 32-bit integers and a hundred for 64-bit ones.
//
//   n / d = (floor(n m / 2^32) + n) / 2^s,  s = ceil(log2 d),  m = floor(2^32 (2^s - d) / d) + 1,  n and d below 2^31
//
// Granlund and Montgomery, Division by Invariant Integers using Multiplication, 1994.
#pragma once

#include <bit>
#include <limits>

#include "tensor/allocator.h"
#include "tensor/cuda/launch.h"

namespace tessera::cuda {

class Divider {
 public:
  Divider() = default;
  Divider(i64 divisor) : divisor_(static_cast<u32>(std::max<i64>(divisor, 1))) {
    TESSERA_CHECK(divisor <= std::numeric_limits<i32>::max(),
                  "{}: a size of {} is too large for one kernel; use a smaller batch", OpScope::current(), divisor);
    shift_ = std::bit_width(divisor_ - 1);
    factor_ = static_cast<u32>((((u64{1} << shift_) - divisor_) << 32) / divisor_ + 1);
  }
  __host__ __device__ operator u32() const { return divisor_; }
  __host__ __device__ friend u32 operator/(u32 n, const Divider& d) {
    return (static_cast<u32>(static_cast<u64>(n) * d.factor_ >> 32) + n) >> d.shift_;
  }
  __host__ __device__ friend u32 operator%(u32 n, const Divider& d) { return n - n / d * d.divisor_; }
  // n not negative
  __host__ __device__ friend int operator/(int n, const Divider& d) {
    return static_cast<int>(static_cast<u32>(n) / d);
  }
  __host__ __device__ friend int operator%(int n, const Divider& d) {
    return static_cast<int>(static_cast<u32>(n) % d);
  }

 private:
  u32 divisor_ = 1, factor_ = 1;
  int shift_ = 0;
};

}  // namespace tessera::cuda
