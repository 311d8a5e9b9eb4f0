// SIMD levels of the CPU kernels, chosen once at start-up.
//
// A file listed with tessera_simd() in ops/CMakeLists.txt is compiled once per level, with TESSERA_SIMD_LEVEL = 0, 1,
// 2; bf16_tiles.cpp alone also as 3, for machines with a tile unit. Each compilation registers its functions in
// SimdTables; a call takes the best level that the machine has. The environment variable TESSERA_SIMD = baseline | avx2
// | avx512 | amx forces the level down, for tests.
//
// Rule for these files: nothing that another file could link to may come out of them, or the linker might give
// AVX-512 code to a machine without it. So: raw pointers and plain structs, anonymous namespaces, no inline functions
// of other headers (those of ops/scalar/ are local), no std templates. A test looks at the symbols of the object files.
//
// NAME.h declares what NAME.cpp registers, in namespace simd: per function one table, or one for functions that are
// called together. NAME.cpp: the loops in an anonymous namespace, and last of all the registration.
#pragma once

#include <cstdint>

namespace tessera {

// As tensor/dtype.h, which these files cannot include.
using i64 = std::int64_t;
using i32 = std::int32_t;
using u64 = std::uint64_t;
using u32 = std::uint32_t;
using u16 = std::uint16_t;
using u8 = std::uint8_t;

enum class SimdLevel { kBaseline = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };
inline constexpr int kSimdLevels = 4;

SimdLevel simd_level();  // what the machine has and the environment allows
const char* name_of(SimdLevel level);

// Whether matrix products may run on bfloat16 tiles: the machine has a unit for them (level kAmx), or
// TESSERA_SIMD=emulated-amx asks for its plain C++ twin, with the other kernels at the best level below.
bool has_tiles();

// One entry per level: a function, or a struct of functions and of what is constant at a level.
template <class Value>
class SimdTable {
 public:
  using Entry = Value;

  [[gnu::always_inline]] bool add(int level, const Entry& entry) {
    entries_[level] = entry;
    present_[level] = true;
    return true;
  }

  // The best registered entry at or below the chosen level.
  const Entry& get() const {
    int level = static_cast<int>(simd_level());
    while (level > 0 && !present_[level]) --level;
    return entries_[level];
  }

  // The entry of this level alone, whether or not the machine has it; null where there is none.
  const Entry* at(SimdLevel level) const {
    return present_[static_cast<int>(level)] ? &entries_[static_cast<int>(level)] : nullptr;
  }

 private:
  Entry entries_[kSimdLevels] = {};
  bool present_[kSimdLevels] = {};
};

template <class... Args>
class SimdTable<void(Args...)> : public SimdTable<void (*)(Args...)> {};

}  // namespace tessera
