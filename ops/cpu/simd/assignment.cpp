// See assignment.h.
#include "ops/cpu/simd/assignment.h"

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

constexpr int kLanes = vec::kLanes<double>;
typedef i64 Integers __attribute__((vector_size(vec::kBytes)));
typedef i64 UnalignedIntegers __attribute__((vector_size(vec::kBytes), aligned(alignof(i64)), may_alias));

// As many numbers of type T as a register holds doubles, converted.
template <class T>
[[gnu::always_inline]] inline vec::Vector<double> load_double(const T* from) {
  typedef T Numbers __attribute__((vector_size(kLanes * sizeof(T)), aligned(alignof(T)), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Numbers*>(from), vec::Vector<double>);
}

template <class T>
void relax(const T* cost, const double* column_price, double reached, double row_price, i64 row, double* distance,
           i64* previous, long n, double* nearest) {
  using Vector = vec::Vector<double>;
  double least = __builtin_inf();
  const Vector start = Vector{} + reached, price = Vector{} + row_price;
  const Integers rows = Integers{} + row;
  Vector least_of_lane = Vector{} + least;
  long c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    const Vector length = start + load_double(cost + c) - price - vec::load(column_price + c);
    const Vector before = vec::load(distance + c);
    UnalignedIntegers* const from = reinterpret_cast<UnalignedIntegers*>(previous + c);
    const Vector now = length < before ? length : before;
    *from = length < before ? rows : static_cast<Integers>(*from);
    vec::store(distance + c, now);
    least_of_lane = now < least_of_lane ? now : least_of_lane;
  }
  for (; c < n; ++c) {
    const double length = reached + static_cast<double>(cost[c]) - row_price - column_price[c];
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
void find(const double* distance, double value, long n, i64* found, long* count) {
  constexpr long kBlock = 64;
  *count = 0;
  for (long begin = 0; begin < n; begin += kBlock) {
    const long end = begin + kBlock < n ? begin + kBlock : n;
    long hits = 0;
#pragma omp simd reduction(+ : hits)
    for (long c = begin; c < end; ++c) hits += distance[c] == value;
    for (long c = begin; hits > 0 && c < end; ++c)
      if (distance[c] == value) {
        found[(*count)++] = c;
        --hits;
      }
  }
}

[[maybe_unused]] const bool kAdded = simd::assignment_relax.add(TESSERA_SIMD_LEVEL, relax<float>, relax<double>) &&
                                     simd::assignment_find.add(TESSERA_SIMD_LEVEL, find);

}  // namespace
}  // namespace tessera
