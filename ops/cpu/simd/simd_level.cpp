#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "ops/cpu/simd/simd_table.h"
#include "tensor/error.h"

namespace tessera {

namespace {

// Whether the machine has tiles and bfloat16 products on them, and the kernel lets this process use them: it must be
// asked, because their state makes every saved context larger by 8 KB.
bool may_use_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kOsxsave = 1u << 27, kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kTileState = 3u << 17;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kOsxsave)) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kAmxBf16) || !(d & kAmxTile)) return false;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kTileState) != kTileState) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

SimdLevel machine_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();  // also asks the operating system whether it saves the wide registers
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  if (!avx2) return SimdLevel::kBaseline;
  if (!avx512) return SimdLevel::kAvx2;
  return may_use_tiles() ? SimdLevel::kAmx : SimdLevel::kAvx512;
#else
  return SimdLevel::kBaseline;
#endif
}

bool emulates_tiles() {
  const char* text = std::getenv("TESSERA_SIMD");
  return text && std::string_view(text) == "emulated-amx";
}

SimdLevel allowed_level() {
  const char* text = std::getenv("TESSERA_SIMD");
  if (!text || !*text) return SimdLevel::kAmx;
  if (emulates_tiles()) return SimdLevel::kAvx512;
  for (SimdLevel level : {SimdLevel::kBaseline, SimdLevel::kAvx2, SimdLevel::kAvx512, SimdLevel::kAmx})
    if (std::string_view(text) == name_of(level)) return level;
  fail("TESSERA_SIMD={}: unknown level; use baseline, avx2, avx512, amx or emulated-amx", text);
}

}  // namespace

SimdLevel simd_level() {
  static const SimdLevel level = std::min(machine_level(), allowed_level());
  return level;
}

bool has_tiles() {
  static const bool emulated = emulates_tiles();
  return emulated || simd_level() == SimdLevel::kAmx;
}

const char* name_of(SimdLevel level) {
  switch (level) {
    case SimdLevel::kBaseline: return "baseline";
    case SimdLevel::kAvx2: return "avx2";
    case SimdLevel::kAvx512: return "avx512";
    case SimdLevel::kAmx: return "amx";
  }
  return "unknown";
}

}  // namespace tessera
