// Branches of a device's work. The emulated device does what a branch launches as late as it may: whoever takes its
// result too early, or memory that it still uses, finds other numbers.
#include "tensor/device_branch.h"

#include <doctest/doctest.h>

#include "ops/arrange.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "tensor/device_graph.h"
#include "tests/cuda/other_device.h"

namespace tessera {

namespace {

Tensor ones(i64 n, Device device) {
  return Tensor::full({n}, 1, DType::kF32, device);
}

// x + 1 + ... + 1, each sum in memory of its own that the next step frees.
Tensor added(Tensor x, int times) {
  for (int i = 0; i < times; ++i) x = ops::add_scalar(x, 1);
  return x;
}

float last(const Tensor& x) {
  const Tensor host = x.to_host();
  return host.data<float>()[host.numel() - 1];
}

}  // namespace

TEST_CASE("branch: both parts see what was before, and what follows the join sees both") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = ones(5000, *device);
  Tensor first;
  DeviceBranch branch(*device);
  branch.run([&] { first = added(x, 4); });
  const Tensor second = added(x, 9);
  branch.join();
  CHECK(last(ops::add(first, second)) == 15);
}

TEST_CASE("branch: memory that one part frees serves the other only when they are joined") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  trim_cache(*device);  // whatever is asked for is new, or was freed here
  void* freed = nullptr;
  Tensor before = ones(5000, *device);
  void* const before_at = before.raw();
  DeviceBranch branch(*device);
  branch.run([&] {
    Tensor x = ops::add_scalar(before, 1);
    freed = x.raw();
    x = Tensor();
    CHECK(Tensor::empty({5000}, DType::kF32, *device).raw() == freed);  // itself it has it again
  });
  before = Tensor();  // the branch may not have read it yet
  {
    const Tensor a = Tensor::empty({5000}, DType::kF32, *device), b = Tensor::empty({5000}, DType::kF32, *device);
    for (const Tensor* x : {&a, &b}) {
      CHECK(x->raw() != freed);
      CHECK(x->raw() != before_at);
    }
  }
  branch.join();
  std::vector<Tensor> later;
  std::vector<void*> places;
  for (int i = 0; i < 4; ++i) places.push_back(later.emplace_back(Tensor::empty({5000}, DType::kF32, *device)).raw());
  CHECK(std::ranges::count(places, freed) == 1);
  CHECK(std::ranges::count(places, before_at) == 1);
}

TEST_CASE("branch: copies, the host's too, belong to the part that makes them") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = ones(300, *device);
  Tensor first, weight;
  float seen = 0;
  DeviceBranch branch(*device);
  branch.run([&] {
    weight = Tensor::full({1, 300}, 2).to(*device);
    first = ops::linear(added(x, 1).reshape({1, 300}), weight, Tensor());
    seen = last(first);
    first = ops::add_scalar(first, 1);
  });
  const Tensor second = added(x.clone(), 2);
  CHECK(last(second) == 3);
  branch.join();
  CHECK(seen == 1200);
  CHECK(last(first) == 1201);
}

TEST_CASE("branch: one that an error ends is joined, and inside another or a recording it is an ordinary call") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = ones(100, *device);
  Tensor kept;
  const auto broken = [&] {
    DeviceBranch branch(*device);
    branch.run([&] {
      kept = added(x, 2);
      ops::add(x, ones(7, *device));
    });
  };
  CHECK_THROWS_AS(broken(), Error);
  CHECK(last(kept) == 3);

  Tensor inner;
  DeviceBranch outer(*device);
  outer.run([&] {
    DeviceBranch nested(*device);
    nested.run([&] { inner = added(x, 5); });
    inner = added(inner, 1);
  });
  outer.join();
  CHECK(last(inner) == 7);

  DeviceGraph graph(*device);
  const Tensor recorded = graph.record([&] {
    Tensor y;
    DeviceBranch branch(*device);
    branch.run([&] { y = added(x, 3); });
    branch.join();
    return added(y, 1);
  });
  graph.launch();
  CHECK(last(recorded) == 5);
}

TEST_CASE("branch: on the CPU it is an ordinary call") {
  int calls = 0;
  DeviceBranch branch(Device{});
  branch.run([&] { ++calls; });
  CHECK(calls == 1);
  branch.join();
}

}  // namespace tessera
