#include "cli/tracks.h"

#include <doctest/doctest.h>

#include "data/rasterise.h"

namespace tessera {

namespace {

constexpr i64 kSide = 40;

Instance square(i64 class_index, i64 x, i64 y, i64 side = 10) {
  Tensor mask = Tensor::zeros({kSide, kSide}, DType::kU8);
  for (i64 row = y; row < y + side; ++row)
    for (i64 column = x; column < x + side; ++column) mask.data<u8>()[row * kSide + column] = 1;
  return Instance::of_mask(class_index, 0.9, encode_rle(mask));
}

Instance box(double x, double y) {
  return Instance::of_box(0, 0.9, {x, y, 10, 10});
}

using Numbers = std::vector<i64>;

}  // namespace

TEST_CASE("tracks: objects that move keep their numbers, in whatever order they come") {
  Tracks tracks;
  CHECK(tracks.follow({square(0, 0, 0), square(0, 20, 0), square(1, 0, 20)}) == Numbers{0, 1, 2});
  for (i64 step = 1; step <= 10; ++step)
    CHECK(tracks.follow({square(1, 2 * step, 20), square(0, 20, 2 * step), square(0, step, step)}) == Numbers{2, 1, 0});
}

TEST_CASE("tracks: the best overlap is taken first, and each object and each track once") {
  Tracks tracks;
  CHECK(tracks.follow({square(0, 0, 0), square(0, 5, 0)}) == Numbers{0, 1});
  // The second overlaps both, the second track more; what is left goes to the first.
  CHECK(tracks.follow({square(0, 3, 0), square(0, 4, 0)}) == Numbers{0, 1});
  // Two objects claim one track: the better one has it.
  Tracks others;
  CHECK(others.follow({square(0, 0, 0)}) == Numbers{0});
  CHECK(others.follow({square(0, 3, 0), square(0, 1, 0)}) == Numbers{1, 0});
}

TEST_CASE("tracks: another class, or too small an overlap, is another object") {
  Tracks tracks;
  CHECK(tracks.follow({square(0, 0, 0)}) == Numbers{0});
  CHECK(tracks.follow({square(1, 0, 0)}) == Numbers{1});
  CHECK(tracks.follow({square(0, 5, 0)}) == Numbers{0});   // IoU 50 / 150
  CHECK(tracks.follow({square(0, 11, 0)}) == Numbers{2});  // 40 / 160
}

TEST_CASE("tracks: an object that is missed for ten frames is found again, after more it is a new one") {
  for (const int missed : {10, 11}) {
    Tracks tracks;
    CHECK(tracks.follow({square(0, 0, 0), square(0, 20, 20)}) == Numbers{0, 1});
    for (int i = 0; i < missed; ++i) CHECK(tracks.follow({square(0, 20, 20)}) == Numbers{1});
    CHECK(tracks.follow({square(0, 0, 0), square(0, 20, 20)}) == Numbers{missed == 10 ? 0 : 2, 1});
  }
}

TEST_CASE("tracks: objects without masks are followed by their boxes, and an empty frame loses none") {
  Tracks tracks;
  CHECK(tracks.follow({box(0, 0), box(20, 0)}) == Numbers{0, 1});
  CHECK(tracks.follow({}).empty());
  CHECK(tracks.follow({box(22, 1), box(1, 2)}) == Numbers{1, 0});
}

}  // namespace tessera
