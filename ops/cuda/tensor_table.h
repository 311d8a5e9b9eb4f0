// Kernels over the elements of many tensors of very different sizes, as the parameters of a network are: one launch, or
// a few, in place of one per tensor.
//
//   struct Scaled { i64 count; float* x; };  // one tensor: `count` elements
//   __global__ void scale_kernel(TensorTable<Scaled> table, float by) {
//     const auto [tensor, begin, end] = table.share();
//     each_piece<float>(begin, end, {tensor.x}, [&]<int kWidth>(i64 i) {
//       auto x = Channels<kWidth>::load(tensor.x + i);
//       for (float& value : x.value) value *= by;
//       x.store(tensor.x + i);
//     });
//   }
//   for_each_table(std::span(list), [&](const auto& table, const Launch& shape) {
//     launch<scale_kernel>(shape, table, 2);
//   });
//
// A block takes 4096 neighbouring elements of one tensor, which it finds by bisection. The table travels in the
// launch's parameters, of which there are 4 KB, so a long list takes several launches. A table in the device's memory
// would take one, but it would have to be copied there at every step, since each step's gradients lie elsewhere.
#pragma once

#include <span>

#include "ops/cuda/channels.h"

namespace tessera::cuda {

inline constexpr i64 kElementsPerBlock = 4096;

inline i64 blocks_of(i64 count) {
  return ceil_div(count, kElementsPerBlock);
}

template <class Item>
struct TensorTable {
  static constexpr size_t kMost = 3840 / (sizeof(Item) + sizeof(unsigned));

  struct Share {
    const Item& item;
    i64 begin, end;
  };
  // The elements that are this block's.
  __device__ Share share() const {
    int tensor = 0, beyond = tensors;  // first_block[tensor] <= blockIdx.x < first_block[beyond]
    while (beyond - tensor > 1) {
      const int middle = (tensor + beyond) / 2;
      (first_block[middle] <= blockIdx.x ? tensor : beyond) = middle;
    }
    const i64 begin = static_cast<i64>(blockIdx.x - first_block[tensor]) * kElementsPerBlock;
    return {items[tensor], begin, std::min(begin + kElementsPerBlock, items[tensor].count)};
  }

  int tensors = 0;
  unsigned first_block[kMost];
  Item items[kMost];
};

// visit.operator()<kWidth>(i) for the block's elements begin ... end - 1, 16 bytes of T at a time where the tensors'
// addresses are multiples of that.
template <class T, class Visit>
__device__ void each_piece(i64 begin, i64 end, std::initializer_list<const void*> tensors, Visit&& visit) {
  constexpr int kWidth = kLargestUnit / sizeof(T);
  i64 all = 0;
  for (const void* tensor : tensors) all |= address_of(tensor);
  const i64 whole = all % kLargestUnit == 0 ? end - (end - begin) % kWidth : begin;
  for (i64 i = begin + threadIdx.x * kWidth; i < whole; i += kMostThreads * kWidth)
    visit.template operator()<kWidth>(i);
  for (i64 i = whole + threadIdx.x; i < end; i += kMostThreads) visit.template operator()<1>(i);
}

// Calls run(table, launch) for as many tables as it takes. Tensors without elements are left out.
template <class Item, class Run>
void for_each_table(std::span<const Item> items, Run run) {
  TensorTable<Item> table;
  unsigned blocks = 0;
  const auto finish = [&] {
    run(table, Launch{.grid = blocks, .block = kMostThreads});
    table.tensors = 0;
    blocks = 0;
  };
  for (const Item& item : items) {
    if (item.count == 0) continue;
    table.first_block[table.tensors] = blocks;
    table.items[table.tensors++] = item;
    blocks += static_cast<unsigned>(blocks_of(item.count));
    if (table.tensors == static_cast<int>(TensorTable<Item>::kMost)) finish();
  }
  finish();
}

}  // namespace tessera::cuda
