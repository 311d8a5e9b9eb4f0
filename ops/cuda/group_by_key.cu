// Grouping by key in CUDA: a stable radix sort of the items by their keys, 8 bits at a time from the lowest, as many
// times as the largest key has bytes. Of one pass:
//
//   count_digits   a block counts the digits of a tile of 2,048 items
//   (a scan)       the counts, by digit and then by tile, become the first places of each tile's digits
//   place_items    each warp puts its 256 items of the tile behind those of the warps before it, 32 at a time: the
//                  place of an item is the number of lanes below with the same digit, found by eight ballots
//
// Memory: 16 bytes per item, and 1 KiB per tile. A pass reads the keys twice and the items once, and writes both.
#include <bit>
#include <limits>

#include "ops/cuda/group_by_key.h"
#include "ops/cuda/scan.h"
#include "tensor/cuda/launch.h"

namespace tessera::cuda {

namespace {

constexpr int kDigits = 256, kDigitBits = 8, kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kWarpItems = 256, kTile = kWarps * kWarpItems;
static_assert(kDigits == kThreads);  // a digit is a thread's task

__device__ int digit_of(i32 key, int shift) {
  return (key >> shift) & (kDigits - 1);
}

// counts [kDigits, tiles].
__global__ void count_digits_kernel(i64 n, const i32* keys, int shift, i32* counts) {
  struct Shared {
    i32 counts[kDigits];
  };
  Shared& shared = shared_memory<Shared>();
  shared.counts[threadIdx.x] = 0;
  __syncthreads();
  const i64 begin = static_cast<i64>(blockIdx.x) * kTile, end = begin + kTile < n ? begin + kTile : n;
  for (i64 i = begin + threadIdx.x; i < end; i += kThreads) atomicAdd(&shared.counts[digit_of(keys[i], shift)], 1);
  __syncthreads();
  counts[static_cast<i64>(threadIdx.x) * gridDim.x + blockIdx.x] = shared.counts[threadIdx.x];
}

// items: null in the first pass, where item i is i.
__global__ void place_items_kernel(i64 n, const i32* keys, const i32* items, int shift, const i32* places,
                                   i32* new_keys, i32* new_items) {
  struct Shared {
    i32 next[kWarps][kDigits];  // how many items of the warp have the digit, then where the next of them goes
  };
  Shared& shared = shared_memory<Shared>();
  const int digit = static_cast<int>(threadIdx.x);
  for (int w = 0; w < kWarps; ++w) shared.next[w][digit] = 0;
  __syncthreads();
  i32* const next = shared.next[warp()];
  const i64 begin = static_cast<i64>(blockIdx.x) * kTile + warp() * kWarpItems;
  const i64 end = begin + kWarpItems < n ? begin + kWarpItems : n;
  for (i64 i = begin + lane(); i < end; i += kWarp) atomicAdd(&next[digit_of(keys[i], shift)], 1);
  __syncthreads();
  i32 place = places[static_cast<i64>(digit) * gridDim.x + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const i32 count = shared.next[w][digit];
    shared.next[w][digit] = place;
    place += count;
  }
  __syncthreads();
  for (i64 some = begin; some < end; some += kWarp) {
    const i64 i = some + lane();
    const bool mine = i < end;
    const i32 key = mine ? keys[i] : 0;
    const int of_key = digit_of(key, shift);
    unsigned same = warp_ballot(mine);
    for (int bit = 0; bit < kDigitBits; ++bit) {
      const bool set = (of_key >> bit & 1) != 0;
      const unsigned with = warp_ballot(set);
      same &= set ? with : ~with;
    }
    const int before = __popc(same & ((1u << lane()) - 1)), all = __popc(same);
    const i32 at = next[of_key] + before;
    warp_barrier();  // all lanes have read before one writes,
    if (mine) {
      if (before == all - 1) next[of_key] += all;
      new_keys[at] = key;
      new_items[at] = items ? items[i] : static_cast<i32>(i);
    }
    warp_barrier();  // and what it wrote is there in the next round
  }
}

// first[k] = how many of the sorted keys are below k.
__global__ void find_groups_kernel(i64 n, const i32* keys, i64 count, i32* first) {
  for (const i64 k : indices(count + 1)) {
    i64 low = 0, high = n;
    while (low < high) {
      const i64 middle = (low + high) / 2;
      if (keys[middle] < k) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    first[k] = static_cast<i32>(low);
  }
}

}  // namespace

void check_keys(const char* op, i64 items, i64 count) {
  constexpr i64 kMost = std::numeric_limits<i32>::max();
  TESSERA_CHECK(items < kMost && count < kMost,
                "{}: {} samples in {} cells are too many for the ordered sum of the gradient; use a smaller batch", op,
                items, count);
}

Groups group_by_key(Tensor keys, i64 count) {
  const i64 n = keys.numel(), tiles = ceil_div(n, kTile);
  const auto like_keys = [&] { return Tensor::empty({n}, DType::kI32, keys.device()); };
  Tensor items, sorted_keys = like_keys(), sorted_items = like_keys();
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<u64>(count))));
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    Tensor places = Tensor::empty({kDigits * tiles}, DType::kI32, keys.device());
    const Launch shape{.grid = static_cast<unsigned>(tiles), .block = kThreads};
    launch<count_digits_kernel>(shape, n, keys.device_data<i32>(), shift, places.device_data<i32>());
    exclusive_scan(places);
    launch<place_items_kernel>(shape, n, keys.device_data<i32>(), items ? items.device_data<i32>() : nullptr, shift,
                               places.device_data<i32>(), sorted_keys.device_data<i32>(),
                               sorted_items.device_data<i32>());
    std::swap(keys, sorted_keys);
    if (!items) items = like_keys();
    std::swap(items, sorted_items);
  }
  Tensor first = Tensor::empty({count + 1}, DType::kI32, keys.device());
  launch<find_groups_kernel>(over(count + 1), n, keys.device_data<i32>(), count, first.device_data<i32>());
  return {first, items};
}

}  // namespace tessera::cuda
