#include "cli/bars.h"

#include <doctest/doctest.h>

#include <limits>

using namespace tessera;

namespace {

// Coloured pixels in the rows [y, y + height) of a picture of bars.
i64 coloured(const Tensor& image, i64 y, i64 height) {
  i64 count = 0;
  const u8* p = image.data<u8>() + y * image.dim(1) * 3;
  for (i64 i = 0; i < height * image.dim(1); ++i, p += 3) count += p[0] != p[1] || p[1] != p[2];
  return count;
}

}  // namespace

TEST_CASE("bars: a bar is as long as its value, a value that is not finite has none") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor one = draw_bars({{"one", {{"a", 2}, {"b", 1}, {"c", nan}}}});
  const i64 first = 16 + 36, row = 32;
  const i64 a = coloured(one, first, row), b = coloured(one, first + row, row);
  CHECK(a > 1000);
  CHECK(std::abs(2 * b - a) < 100);
  CHECK(coloured(one, first + 2 * row, row) == 0);
  const Tensor two = draw_bars({{"one", {{"a", -1}, {"b", 1}}}, {"two", {}}});
  CHECK(std::abs(coloured(two, first, row) - coloured(two, first + row, row)) < 100);
  CHECK(draw_bars({{"nothing", {{"a", 0}}}}).dim(2) == 3);
}
