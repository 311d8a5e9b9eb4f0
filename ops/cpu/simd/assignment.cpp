// See assignment.h.
#include "ops/cpu/simd/assignment.h"

#include "ops/cpu/simd/vector.h"
#include "ops/scalar/assignment.h"

namespace tessera {
namespace {

constexpr int kLanes = vec::kLanes<double>;
using Integers = vec::Vector<i64>;

template <class T>
void relax(const T* cost, const double* column_price, double reached, double row_price, i64 row, double* distance,
           i64* previous, i64 n, double* nearest) {
  using Vector = vec::Vector<double>;
  double least = __builtin_inf();
  const Vector start = Vector{} + reached, price = Vector{} + row_price;
  const Integers rows = Integers{} + row;
  Vector least_of_lane = Vector{} + least;
  i64 c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    const Vector length =
        scalar::path_length(start, vec::load_as<double>(cost + c), price, vec::load(column_price + c));
    const Vector before = vec::load(distance + c);
    const Vector now = length < before ? length : before;
    vec::store(previous + c, length < before ? rows : vec::load(previous + c));
    vec::store(distance + c, now);
    least_of_lane = now < least_of_lane ? now : least_of_lane;
  }
  for (; c < n; ++c) {
    const double length = scalar::path_length(reached, static_cast<double>(cost[c]), row_price, column_price[c]);
    if (length < distance[c]) {
      distance[c] = length;
      previous[c] = row;
    }
    if (distance[c] < least) least = distance[c];
  }
  for (int lane = 0; lane < kLanes; ++lane)
    if (least_of_lane[lane] < least) least = least_of_lane[lane];
  *nearest = least;
}

// Mostly there is one: whole blocks are passed by.
void find(const double* distance, double value, i64 n, i64* found, i64* count) {
  constexpr i64 kBlock = 64;
  *count = 0;
  for (i64 begin = 0; begin < n; begin += kBlock) {
    const i64 end = begin + kBlock < n ? begin + kBlock : n;
    i64 hits = 0;
#pragma omp simd reduction(+ : hits)
    for (i64 c = begin; c < end; ++c) hits += distance[c] == value;
    for (i64 c = begin; hits > 0 && c < end; ++c)
      if (distance[c] == value) {
        found[(*count)++] = c;
        --hits;
      }
  }
}

[[maybe_unused]] const bool kAdded[] = {
    simd::assignment_relax.add(TESSERA_SIMD_LEVEL, relax<float>, relax<double>),
    simd::assignment_find.add(TESSERA_SIMD_LEVEL, find),
};

}  // namespace
}  // namespace tessera
