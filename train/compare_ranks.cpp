#include "train/compare_ranks.h"

#include <cstring>
#include <sstream>

#include "tensor/error.h"

namespace tessera {

namespace {

// FNV-1a, eight bytes at a time.
u64 hash(const Tensor& tensor) {
  const Tensor host = tensor.to_host();
  const auto* bytes = static_cast<const unsigned char*>(host.raw());
  u64 result = 0xcbf29ce484222325;
  for (size_t at = 0; at < host.bytes(); at += sizeof(u64)) {
    u64 word = 0;
    std::memcpy(&word, bytes + at, std::min(sizeof word, host.bytes() - at));
    result = (result ^ word) * 0x100000001b3;
    result ^= result >> 29;
  }
  return result;
}

}  // namespace

void check_same(Communicator& communicator, const std::string& what, const std::string& text) {
  const std::vector<std::string> all = communicator.gather(text);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    std::istringstream first(all[0]), other(all[rank]);
    std::string expected, found;
    while (expected == found && (first || other)) {
      if (!std::getline(first, expected)) expected.clear();
      if (!std::getline(other, found)) found.clear();
    }
    fail("{} has another {} than {}: \"{}\" where that has \"{}\"", communicator.name(static_cast<i64>(rank)), what,
         communicator.name(0), found, expected);
  }
}

void check_same(Communicator& communicator, const std::vector<NamedTensor>& tensors) {
  if (communicator.size() == 1) return;
  std::vector<u64> mine;
  for (const NamedTensor& entry : tensors) mine.push_back(hash(entry.tensor));
  const std::string_view bytes(reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(u64));
  const std::vector<std::string> all = communicator.gather(bytes);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    TESSERA_CHECK(all[rank].size() == all[0].size(), "{} has {} tensors where {} has {}",
                  communicator.name(static_cast<i64>(rank)), all[rank].size() / sizeof(u64), communicator.name(0),
                  all[0].size() / sizeof(u64));
    size_t i = 0;
    while (std::memcmp(&all[rank][i * sizeof(u64)], &all[0][i * sizeof(u64)], sizeof(u64)) == 0) ++i;
    fail(
        "{} is not the same on {} and {}, as it must be: a processor, memory or driver that errs, or builds or "
        "processors that differ",
        tensors[i].name, communicator.name(static_cast<i64>(rank)), communicator.name(0));
  }
}

}  // namespace tessera
