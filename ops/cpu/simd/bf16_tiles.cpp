// See bf16_tiles.h. One source for the unit and for its plain C++ twin.
#include "ops/cpu/simd/bf16_tiles.h"

#if TESSERA_SIMD_LEVEL == 3
#include <immintrin.h>
#endif

#include "ops/cpu/simd/vector.h"

namespace tessera {
namespace {

using simd::Bf16Block, simd::kTileBlock, simd::kTileDepth, simd::kTilePair;

#if TESSERA_SIMD_LEVEL == 3

// All eight tiles, of 16 rows of 64 bytes. Static: of a local variable the compiler might not write what GCC's
// intrinsic does not say that it reads, all but the first eight bytes.
struct alignas(64) TileShapes {
  u8 palette = 1, start = 0, reserved[14] = {};
  u16 bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  u8 rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileShapes kShapes;

// Tiles 0 to 3 are C, row by row; 4 and 5 are A, 6 and 7 are B. The intrinsics want the numbers as literals.
struct Unit {
  Unit() { _tile_loadconfig(&kShapes); }
  ~Unit() { _tile_release(); }
  void clear_c() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  void store_c(float* c, i64 pitch) {
    _tile_stored(0, c, pitch * 4);
    _tile_stored(1, c + 16, pitch * 4);
    _tile_stored(2, c + 16 * pitch, pitch * 4);
    _tile_stored(3, c + 16 * pitch + 16, pitch * 4);
  }
  void load_a(const u16* tiles) {
    _tile_loadd(4, tiles, 64);
    _tile_loadd(5, tiles + kTilePair / 2, 64);
  }
  void load_b(const u16* tiles) {
    _tile_loadd(6, tiles, 64);
    _tile_loadd(7, tiles + kTilePair / 2, 64);
  }
  void multiply() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
};

#else

// The same in plain C++, the sums in the unit's order: those over even and over odd k each from zero, then both added
// to C. Where the unit takes denormal numbers as zero this one does not.
struct Unit {
  float c[32][32], a[32][32], b[32][32];  // two tiles by two, [k][column] for b

  static float widen(u16 bits) {
    const u32 word = u32{bits} << 16;
    float value;
    __builtin_memcpy(&value, &word, 4);
    return value;
  }
  void clear_c() { __builtin_memset(c, 0, sizeof c); }
  void store_c(float* to, i64 pitch) {
    for (i64 i = 0; i < 32; ++i) __builtin_memcpy(to + i * pitch, c[i], sizeof c[i]);
  }
  void load_a(const u16* tiles) {
    for (i64 i = 0; i < 32; ++i)
      for (i64 k = 0; k < 32; ++k) a[i][k] = widen(tiles[i * 32 + k]);
  }
  void load_b(const u16* tiles) {
    for (i64 tile = 0; tile < 2; ++tile)
      for (i64 k = 0; k < 32; ++k)
        for (i64 j = 0; j < 16; ++j)
          b[k][tile * 16 + j] = widen(tiles[tile * kTilePair / 2 + k / 2 * 32 + 2 * j + k % 2]);
  }
  void multiply() {
    for (i64 i = 0; i < 32; ++i) {
      float even[32] = {}, odd[32] = {};
      for (i64 k = 0; k < 32; k += 2)
        for (i64 j = 0; j < 32; ++j) {
          even[j] += a[i][k] * b[k][j];
          odd[j] += a[i][k + 1] * b[k + 1][j];
        }
      for (i64 j = 0; j < 32; ++j) c[i][j] += even[j] + odd[j];
    }
  }
};

#endif

// The products of the parts in the order of bf16_tiles.h, neighbours sharing an operand where they can.
struct Product {
  int a, b;
};
constexpr Product kOne[] = {{0, 0}}, kThree[] = {{0, 1}, {0, 0}, {1, 0}},
                  kSix[] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 0}};

template <int kParts, int kCount>
[[gnu::always_inline]] inline void multiply_steps(Unit& unit, const Product (&products)[kCount], const u16* a,
                                                  const u16* b, i64 steps) {
  for (i64 s = 0; s < steps; ++s, a += kParts * kTilePair, b += kParts * kTilePair)
#pragma GCC unroll 6
    for (int p = 0; p < kCount; ++p) {
      if (p == 0 || products[p].a != products[p - 1].a) unit.load_a(a + products[p].a * kTilePair);
      if (p == 0 || products[p].b != products[p - 1].b) unit.load_b(b + products[p].b * kTilePair);
      unit.multiply();
    }
}

// Column tiles outside: a strip of B stays in the first-level cache while the rows pass by. Each piece of K is summed
// from zero and then added to C: a long sum in one go would round at the size of the whole at each step.
void multiply(const Bf16Block& block, int parts) {
  Unit unit;
  for (i64 j = 0; j < block.column_pairs; ++j)
    for (i64 i = 0; i < block.row_pairs; ++i) {
      const u16* a = block.a + i * block.a_stride;
      const u16* b = block.b + j * block.b_stride;
      float* c = block.c + i * kTileBlock * block.c_pitch + j * kTileBlock;
      unit.clear_c();
      switch (parts) {
        case 1:
          multiply_steps<1>(unit, kOne, a, b, block.steps);
          break;
        case 2:
          multiply_steps<2>(unit, kThree, a, b, block.steps);
          break;
        default:
          multiply_steps<3>(unit, kSix, a, b, block.steps);
      }
      if (!block.accumulate) {
        unit.store_c(c, block.c_pitch);
        continue;
      }
      alignas(64) float sums[kTileBlock * kTileBlock];
      unit.store_c(sums, kTileBlock);
      for (i64 r = 0; r < kTileBlock; ++r)
        for (i64 k = 0; k < kTileBlock; ++k) c[r * block.c_pitch + k] += sums[r * kTileBlock + k];
    }
}

// Sixteen numbers: their bits, and what is left of them when a part is taken away.
typedef float Floats __attribute__((vector_size(64)));
typedef u32 Words __attribute__((vector_size(64)));
typedef u16 Halves __attribute__((vector_size(32)));
typedef float FloatsAt __attribute__((vector_size(64), aligned(4), may_alias));
typedef u32 WordsAt __attribute__((vector_size(64), aligned(2), may_alias));
typedef u16 HalvesAt __attribute__((vector_size(32), aligned(2), may_alias));

constexpr u32 kExponent = 0x7f800000;

// The nearest bfloat16, ties to even, in the upper half of each word.
[[gnu::always_inline]] inline Words round(Floats x) {
  const Words bits = (Words)x;
  return (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
}

// All ones where x, or x rounded, is not a finite number.
[[gnu::always_inline]] inline Words not_finite(Floats x, Words rounded) {
  return (Words)(((Words)x & kExponent) == kExponent) | (Words)((rounded & kExponent) == kExponent);
}

[[gnu::always_inline]] inline bool none(Words words) {
  u32 any = 0;
  for (int i = 0; i < 16; ++i) any |= words[i];
  return any == 0;
}

bool split_rows(const float* const* rows, i64 width, int parts, u16* tiles) {
  Words bad = {};
  for (i64 r = 0; r < kTileBlock; ++r)
    for (i64 half = 0; half < 2; ++half) {
      const i64 begin = half * 16, count = !rows[r] || width <= begin ? 0 : width - begin < 16 ? width - begin : 16;
      Floats x = {};
      if (count == 16) {
        x = *reinterpret_cast<const FloatsAt*>(rows[r] + begin);
      } else {
        float some[16] = {};
        for (i64 k = 0; k < count; ++k) some[k] = rows[r][begin + k];
        __builtin_memcpy(&x, some, sizeof x);
      }
      u16* to = tiles + r * kTileDepth + begin;
      for (int part = 0; part < parts; ++part, to += kTilePair) {
        const Words bits = round(x);
        bad |= not_finite(x, bits);
        *reinterpret_cast<HalvesAt*>(to) = __builtin_convertvector(bits >> 16, Halves);
        x -= (Floats)bits;
      }
    }
  return none(bad);
}

bool split_columns(const float* x, i64 pitch, int parts, u16* tiles) {
  Words bad = {};
  for (i64 k = 0; k < kTileDepth; k += 2)
    for (i64 tile = 0; tile < 2; ++tile) {
      Floats even = *reinterpret_cast<const FloatsAt*>(x + k * pitch + tile * 16),
             odd = *reinterpret_cast<const FloatsAt*>(x + (k + 1) * pitch + tile * 16);
      u16* to = tiles + tile * kTilePair / 2 + k / 2 * 32;
      for (int part = 0; part < parts; ++part, to += kTilePair) {
        const Words first = round(even), second = round(odd);
        bad |= not_finite(even, first) | not_finite(odd, second);
        *reinterpret_cast<WordsAt*>(to) = (first >> 16) | second;
        even -= (Floats)first;
        odd -= (Floats)second;
      }
    }
  return none(bad);
}

void finish_row(const float* from, const float* bias, const float* residual, bool relu, float ceiling, i64 count,
                float* to) {
  for (i64 j = 0; j < count; ++j) {
    float y = bias ? from[j] + bias[j] : from[j];
    if (residual) y += residual[j];
    if (relu) y = y < 0 ? 0 : y > ceiling ? ceiling : y;
    to[j] = y;
  }
}

[[maybe_unused]] const bool kAdded =
    simd::bf16_kernels.add(TESSERA_SIMD_LEVEL, {multiply, split_rows, split_columns, finish_row});

}  // namespace
}  // namespace tessera
