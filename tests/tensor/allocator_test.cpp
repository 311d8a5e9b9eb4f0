#include "tensor/allocator.h"

#include <doctest/doctest.h>

#include "tensor/random.h"
#include "tensor/tensor.h"
#include "tests/support/check_error.h"

using namespace tessera;

TEST_CASE("allocator: a freed block serves the next request of about its size") {
  void* first = allocate(100'000, {});
  deallocate(first, 100'000, {});
  void* second = allocate(99'000, {});
  CHECK(second == first);
  deallocate(second, 99'000, {});
}

TEST_CASE("allocator: blocks are aligned to a cache line") {
  for (size_t bytes : {1, 63, 300, 5000, 1'000'001}) {
    void* block = allocate(bytes, {});
    CHECK(reinterpret_cast<std::uintptr_t>(block) % kAlignment == 0);
    deallocate(block, bytes, {});
  }
}

TEST_CASE("allocator: trimming empties the cache and the report adds up") {
  const size_t before = memory_report().allocated;
  {
    const Tensor x = Tensor::empty({1 << 20});
    CHECK(memory_report().allocated >= before + (4 << 20));
  }
  CHECK(memory_report().allocated == before);
  CHECK(memory_report().cached > 0);
  trim_cache();
  CHECK(memory_report().cached == 0);
}

TEST_CASE("allocator: work whose sizes always change holds at most 5/4 of what it ever needed") {
  trim_cache();
  Random random(1);
  size_t most_needed = 0, most_held = 0;
  for (int step = 0; step < 200; ++step) {
    const i64 height = random.integer(100, 400), width = random.integer(100, 400);
    std::vector<Tensor> maps;  // of a forward pass
    for (i64 scale = 1; scale <= 16; scale *= 2) maps.push_back(Tensor::empty({height / scale, width / scale, 16}));
    const MemoryReport report = memory_report();
    most_needed = std::max(most_needed, report.allocated);
    most_held = std::max(most_held, report.allocated + report.cached);
  }
  CHECK(static_cast<double>(most_held) <= 1.25 * static_cast<double>(most_needed));
  CHECK(memory_report().cached > 0);
}

TEST_CASE("allocator: running out of memory names the operator and the three numbers") {
  const OpScope scope("conv2d");
  CHECK_ERROR(Tensor::empty({i64{1} << 58}), "conv2d: out of memory");
  CHECK_ERROR(Tensor::empty({i64{1} << 58}), "cached");
}
