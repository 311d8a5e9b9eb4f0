#include "ops/fallbacks.h"

#include <fmt/core.h>

#include <atomic>
#include <mutex>
#include <set>

namespace tessera::ops {

namespace {

std::atomic<i64> count = 0;

}  // namespace

void note_fallback(const std::string& what) {
  static std::mutex mutex;
  static std::set<std::string> told;
  ++count;
  const std::lock_guard lock(mutex);
  if (told.insert(what).second) fmt::print(stderr, "tessera: {}; a slower kernel does it\n", what);
}

i64 fallbacks() {
  return count;
}

}  // namespace tessera::ops
