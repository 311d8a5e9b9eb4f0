// An unsigned number that compares as ops/sort.h wants x to: NaN above infinity, -0 as 0.
#pragma once

#include <bit>
#include <type_traits>

#include "ops/scalar/host_device.h"
#include "tensor/dtype.h"

namespace tessera::scalar {
namespace {

template <class T>
using SortKey = std::conditional_t<sizeof(T) == 4, u32, u64>;

template <class T>
TESSERA_HD inline SortKey<T> sort_key(T x, bool descending) {
  using Key = SortKey<T>;
  constexpr Key kSign = Key(1) << (sizeof(Key) * 8 - 1), kHighest = static_cast<Key>(-1);
  const Key bits = std::bit_cast<Key>(x == 0 ? T(0) : x);
  const Key key = x != x ? kHighest : bits & kSign ? ~bits : bits | kSign;
  return descending ? ~key : key;
}

}  // namespace
}  // namespace tessera::scalar
