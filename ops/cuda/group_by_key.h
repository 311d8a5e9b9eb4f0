// Who adds to which row: the ordered form of a scatter. A kernel that would add item i to row key[i] writes the keys;
// grouped by them, each row gathers its items in ascending order. No atomic addition of floats, always the same bits.
#pragma once

#include "tensor/tensor.h"

namespace tessera::cuda {

// The items with key k are items[first[k]] .. items[first[k + 1] - 1], ascending.
struct Groups {
  Tensor first;  // i32 [keys + 1]
  Tensor items;  // i32 [n]
};

// keys [n] i32 in [0, count]; items with key `count` are in no group. `keys` is scratch afterwards. n and count must be
// below 2^31: check_keys throws otherwise, naming op.
Groups group_by_key(Tensor keys, i64 count);
void check_keys(const char* op, i64 items, i64 count);

// The same as a kernel's argument.
struct GroupsView {
  const i32 *first, *items;
  explicit GroupsView(const Groups& groups)
      : first(groups.first.device_data<i32>()), items(groups.items.device_data<i32>()) {}
};

}  // namespace tessera::cuda
