#include "tensor/random.h"

#include <cmath>
#include <numbers>

namespace tessera {

std::array<u32, 4> philox(std::array<u32, 4> counter, std::array<u32, 2> key) {
  auto& [c0, c1, c2, c3] = counter;
  for (int round = 0; round < 10; ++round) {
    const u64 product0 = u64{0xD2511F53} * c0, product1 = u64{0xCD9E8D57} * c2;
    c0 = static_cast<u32>(product1 >> 32) ^ c1 ^ key[0];
    c2 = static_cast<u32>(product0 >> 32) ^ c3 ^ key[1];
    c1 = static_cast<u32>(product1);
    c3 = static_cast<u32>(product0);
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

u64 stream_of(std::string_view purpose, std::initializer_list<u64> numbers) {
  const auto mix = [](u64 x) {  // the finaliser of splitmix64: every input bit reaches every output bit
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  };
  u64 hash = 0xCBF29CE484222325;  // FNV-1a of the purpose
  for (char c : purpose) hash = (hash ^ static_cast<u8>(c)) * 0x100000001B3;
  for (u64 number : numbers) hash = mix(hash + 0x9E3779B97F4A7C15 + mix(number + 0x9E3779B97F4A7C15));
  return hash;
}

namespace {

// 64 random bits as a number in [0, 1)
double uniform_of(u32 high, u32 low) {
  return static_cast<double>(((static_cast<u64>(high) << 32) | low) >> 11) * 0x1p-53;
}

}  // namespace

std::array<u32, 4> Random::block(u64 number) const {
  return philox({static_cast<u32>(number), static_cast<u32>(number >> 32), static_cast<u32>(stream_),
                 static_cast<u32>(stream_ >> 32)},
                {static_cast<u32>(seed_), static_cast<u32>(seed_ >> 32)});
}

u32 Random::bits() {
  if (used_ == 4) {
    buffer_ = block(block_);
    ++block_;
    used_ = 0;
  }
  return buffer_[used_++];
}

double Random::uniform() {
  const u32 high = bits(), low = bits();
  return uniform_of(high, low);
}

i64 Random::integer(i64 lo, i64 hi) {
  TESSERA_CHECK(lo <= hi, "random integer: the range [{}, {}] is empty", lo, hi);
  const u64 range = static_cast<u64>(hi) - static_cast<u64>(lo) + 1;  // 0 stands for 2^64
  const auto draw = [&] { return (static_cast<u64>(bits()) << 32) | bits(); };
  if (range == 0) return static_cast<i64>(draw());
  const u64 limit = UINT64_MAX - UINT64_MAX % range;  // reject the tail that would favour small values
  u64 value = draw();
  while (value >= limit) value = draw();
  return static_cast<i64>(static_cast<u64>(lo) + value % range);
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

// Every block gives two values, so that a large tensor can be filled by several threads: value i depends on its block's
// number alone.
template <class Pair>
void Random::fill_pairs(Tensor& tensor, Pair&& pair) {
  used_ = 4;  // begin with a fresh block
  const u64 first = block_;
  const i64 count = tensor.numel();
  block_ += static_cast<u64>((count + 1) / 2);
  dispatch_float(tensor.dtype(), "random", [&]<class T>() {
    T* data = tensor.data<T>();
#pragma omp parallel for if (count > 100'000)
    for (i64 i = 0; i < count; i += 2) {
      const std::array<u32, 4> bits = block(first + static_cast<u64>(i / 2));
      const auto [a, b] = pair(uniform_of(bits[0], bits[1]), uniform_of(bits[2], bits[3]));
      data[i] = static_cast<T>(a);
      if (i + 1 < count) data[i + 1] = static_cast<T>(b);
    }
  });
}

void Random::fill_uniform(Tensor& tensor, double lo, double hi) {
  fill_pairs(tensor, [=](double u, double v) { return std::pair{lo + (hi - lo) * u, lo + (hi - lo) * v}; });
}

void Random::fill_normal(Tensor& tensor, double mean, double std) {
  fill_pairs(tensor, [=](double u, double v) {  // Box-Muller gives two
    const double radius = std * std::sqrt(-2.0 * std::log(1.0 - u)), angle = 2.0 * std::numbers::pi * v;
    return std::pair{mean + radius * std::cos(angle), mean + radius * std::sin(angle)};
  });
}

}  // namespace tessera
