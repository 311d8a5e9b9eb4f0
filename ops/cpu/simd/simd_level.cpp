#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "ops/cpu/simd/simd_table.h"
#include "tensor/error.h"

namespace tessera {

namespace {

SimdLevel machine_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();  // also asks the operating system whether it saves the wide registers
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  return avx2 && avx512 ? SimdLevel::kAvx512 : avx2 ? SimdLevel::kAvx2 : SimdLevel::kBaseline;
#else
  return SimdLevel::kBaseline;
#endif
}

SimdLevel allowed_level() {
  const char* text = std::getenv("TESSERA_SIMD");
  if (!text || !*text) return SimdLevel::kAvx512;
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512})
    if (std::string_view(text) == name_of(level)) return level;
  fail("TESSERA_SIMD={}: unknown level; use baseline, avx2 or avx512", text);
}

}  // namespace

SimdLevel simd_level() {
  static const SimdLevel level = std::min(machine_level(), allowed_level());
  return level;
}

const char* name_of(SimdLevel level) {
  switch (level) {
    case SimdLevel::kBaseline: return "baseline";
    case SimdLevel::kAvx2: return "avx2";
    case SimdLevel::kAvx512: return "avx512";
  }
  return "unknown";
}

}  // namespace tessera
