#include "tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace tessera;

TEST_CASE("random: philox gives the published known answers") {
  // Random123's kat_vectors for philox4x32-10.
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == std::array<u32, 4>{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
  CHECK(philox({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {0xFFFFFFFF, 0xFFFFFFFF}) ==
        std::array<u32, 4>{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
  CHECK(philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}) ==
        std::array<u32, 4>{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1});
}

TEST_CASE("random: a stream is a function of seed, purpose and numbers alone") {
  const auto draw = [](u64 seed, u64 stream) { return Random(seed, stream).uniform(); };
  CHECK(draw(1, stream_of("flip", {0, 1})) == draw(1, stream_of("flip", {0, 1})));
  CHECK(draw(1, stream_of("flip", {0, 1})) != draw(1, stream_of("flip", {1, 0})));
  CHECK(draw(1, stream_of("flip", {0, 1})) != draw(1, stream_of("crop", {0, 1})));
  CHECK(draw(1, stream_of("flip", {0, 1})) != draw(2, stream_of("flip", {0, 1})));
}

TEST_CASE("random: uniform and normal values have their moments") {
  Random random(7);
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0;
  constexpr int kCount = 200'000;
  for (int i = 0; i < kCount; ++i) {
    const double u = random.uniform(), n = random.normal();
    REQUIRE((u >= 0 && u < 1));
    sum += u, squares += u * u, normal_sum += n, normal_squares += n * n;
  }
  CHECK(sum / kCount == doctest::Approx(0.5).epsilon(0.01));
  CHECK(squares / kCount == doctest::Approx(1.0 / 3).epsilon(0.01));
  CHECK(std::abs(normal_sum / kCount) < 0.01);
  CHECK(normal_squares / kCount == doctest::Approx(1).epsilon(0.02));
}

TEST_CASE("random: integers reach both ends and a shuffle is a permutation") {
  Random random(3);
  std::array<int, 4> seen{};
  for (int i = 0; i < 1000; ++i) ++seen.at(static_cast<size_t>(random.integer(5, 8) - 5));
  for (int count : seen) CHECK(count > 180);
  std::vector<int> order = {0, 1, 2, 3, 4, 5, 6, 7};
  random.shuffle(std::span(order));
  std::vector<int> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  CHECK(order != sorted);
  CHECK(sorted == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}
