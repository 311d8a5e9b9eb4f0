// What the engine tells AddressSanitizer about memory that it hands out itself; nothing in other builds.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define TESSERA_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TESSERA_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef TESSERA_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace tessera {

// Touching a poisoned byte is reported with the line that does it.
inline void poison([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef TESSERA_ADDRESS_SANITIZER
  __asan_poison_memory_region(data, bytes);
#endif
}

inline void unpoison([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef TESSERA_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(data, bytes);
#endif
}

}  // namespace tessera
