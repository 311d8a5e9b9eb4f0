// Counter-based random numbers (Philox 4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// A sample is a pure function of (seed, stream, position): it does not depend on which thread asked or what was drawn
// before elsewhere. A stream is usually mixed from (epoch, index, purpose), see stream_of.
#pragma once

#include <array>
#include <initializer_list>
#include <string_view>

#include "tensor/tensor.h"

namespace tessera {

// One Philox 4x32-10 block: 128 random bits for a 128-bit counter under a 64-bit key.
std::array<u32, 4> philox(std::array<u32, 4> counter, std::array<u32, 2> key);

// A well-mixed stream number from a purpose and integers: stream_of("flip", {epoch, index}).
u64 stream_of(std::string_view purpose, std::initializer_list<u64> numbers = {});

// A cursor over one stream. Copyable: the state is three integers.
class Random {
 public:
  explicit Random(u64 seed, u64 stream = 0) : seed_(seed), stream_(stream) {}

  u32 bits();        // 32 random bits
  double uniform();  // in [0, 1), 53 bits
  double uniform(double lo, double hi) { return lo + (hi - lo) * uniform(); }
  i64 integer(i64 lo, i64 hi);  // in [lo, hi], both ends included; unbiased
  double normal();              // mean 0, variance 1 (Box-Muller)
  bool chance(double probability) { return uniform() < probability; }

  void fill_uniform(Tensor& tensor, double lo, double hi);  // f32 or f64
  void fill_normal(Tensor& tensor, double mean, double std);
  template <class T>
  void shuffle(std::span<T> values) {  // Fisher-Yates
    for (i64 i = static_cast<i64>(values.size()) - 1; i > 0; --i) std::swap(values[i], values[integer(0, i)]);
  }

 private:
  std::array<u32, 4> block(u64 number) const;  // of this stream
  template <class Pair>
  void fill_pairs(Tensor& tensor, Pair&& pair);

  u64 seed_, stream_, block_ = 0;
  std::array<u32, 4> buffer_{};
  int used_ = 4;
};

}  // namespace tessera
