// SIMD levels of the CPU kernels, chosen once at start-up.
//
// A file listed with tessera_simd() in ops/CMakeLists.txt is compiled once per level, with TESSERA_SIMD_LEVEL = 0, 1, 2;
// bf16_tiles.cpp alone also as 3, for machines with a tile unit.
// Each compilation registers its functions in SimdTables; a call takes the best level that the machine has. The
// environment variable TESSERA_SIMD = baseline | avx2 | avx512 | amx forces the level down, for tests.
//
// Rule for these files: nothing that another file could link to may come out of them, or the linker might give
// AVX-512 code to a machine without it. So: raw pointers and plain structs, anonymous namespaces, no inline functions
// of other headers, no std templates. A test looks at the symbols of the object files.
#pragma once

namespace tessera {

enum class SimdLevel { kBaseline = 0, kAvx2 = 1, kAvx512 = 2, kAmx = 3 };
inline constexpr int kSimdLevels = 4;

SimdLevel simd_level();  // what the machine has and the environment allows
const char* name_of(SimdLevel level);

// Whether matrix products may run on bfloat16 tiles: the machine has a unit for them (level kAmx), or
// TESSERA_SIMD=emulated-amx asks for its plain C++ twin, with the other kernels at the best level below.
bool has_tiles();

template <class Function>
class SimdTable;

template <class... Args>
class SimdTable<void(Args...)> {
 public:
  using Kernel = void (*)(Args...);

  [[gnu::always_inline]] bool add(int level, Kernel kernel) {
    kernels_[level] = kernel;
    return true;
  }

  // The best registered kernel at or below the chosen level.
  Kernel get() const {
    int level = static_cast<int>(simd_level());
    while (level > 0 && !kernels_[level]) --level;
    return kernels_[level];
  }

  // The kernel of this level alone, whether or not the machine has it; null where there is none.
  Kernel at(SimdLevel level) const { return kernels_[static_cast<int>(level)]; }

 private:
  Kernel kernels_[kSimdLevels] = {};
};

}  // namespace tessera
