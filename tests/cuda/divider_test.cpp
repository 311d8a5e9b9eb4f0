// Division by multiplication, as kernels do it.
#include "ops/cuda/divider.h"

#include <doctest/doctest.h>

#include "tests/support/check_error.h"

namespace tessera::cuda {

TEST_CASE("divider: quotients and remainders are those of integers, up to the largest") {
  constexpr u32 kLargest = std::numeric_limits<i32>::max();
  for (const u32 d : {1u, 2u, 3u, 7u, 10u, 64u, 641u, 65535u, 65536u, 65537u, 715827883u, kLargest / 2,
                      kLargest / 2 + 1, kLargest - 1, kLargest}) {
    const Divider by(d);
    for (const u32 multiple : {u32{0}, d, kLargest / 3 / d * d, kLargest / d * d})
      for (const int beside : {-1, 0, 1}) {
        const i64 n = i64{multiple} + beside;
        if (n < 0 || n > kLargest) continue;
        CAPTURE(n);
        CAPTURE(d);
        CHECK(static_cast<u32>(n) / by == static_cast<u32>(n) / d);
        CHECK(static_cast<u32>(n) % by == static_cast<u32>(n) % d);
      }
  }
}

TEST_CASE("divider: the size of nothing divides as 1, one of 2^31 is refused") {
  CHECK(u32{5} / Divider(0) == 5);
  const OpScope op("add");
  CHECK_ERROR(Divider(i64{1} << 31), "add: a size of 2147483648 is too large for one kernel; use a smaller batch");
}

}  // namespace tessera::cuda
