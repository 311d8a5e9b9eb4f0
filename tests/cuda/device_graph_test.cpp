// Graphs of a device: what is launched again, on which memory, and what cannot be recorded.
#include "tensor/device_graph.h"

#include <cstring>
#include <vector>

#include "ops/arrange.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/softmax.h"
#include "tensor/random.h"
#include "tests/cuda/other_device.h"
#include "tests/support/check_error.h"

namespace tessera {

namespace {

Tensor numbers(const Shape& shape, u64 seed, Device device) {
  Tensor x = Tensor::empty(shape);
  Random(seed).fill_uniform(x, -2, 2);
  return x.to(device);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to_host(), y = b.to_host();
  return x.shape() == y.shape() && std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

// Kernels, a library's product, a copy and a fill, with memory that is freed on the way.
Tensor mixed(const Tensor& x, const Tensor& weight) {
  Tensor y = ops::softmax(ops::linear(ops::relu(x), weight, Tensor()), -1);
  y = ops::concat({y.clone(), Tensor::full(y.shape(), 0.5, DType::kF32, y.device())}, 1);
  return ops::sigmoid(ops::add(y, y));
}

}  // namespace

TEST_CASE("graph: a launch computes from what its inputs hold then, with the bits of the function itself") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Tensor x = numbers({33, 20}, 1, *device), weight = numbers({17, 20}, 2, *device);
  DeviceGraph graph(*device);
  const Tensor y = graph.record([&] { return mixed(x, weight); });
  for (u64 seed = 3; seed < 6; ++seed) {
    x.copy_from(numbers({33, 20}, seed, *device));
    weight.copy_from(numbers({17, 20}, seed + 10, *device));  // changed in place
    graph.launch();
    CHECK(same_bits(y, mixed(x, weight)));
  }
}

TEST_CASE("graph: recording runs the function once, a launch once more") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  Tensor sum = Tensor::zeros({3}, DType::kF32, *device);
  const Tensor one = Tensor::full({3}, 1, DType::kF32, *device);
  DeviceGraph graph(*device);
  CHECK_ERROR(graph.launch(), "device graph: nothing was recorded");
  graph.record([&] {
    sum.copy_from(ops::add(sum, one));
    return sum;
  });
  CHECK(sum.to_host().data<float>()[2] == 1);
  graph.launch();
  graph.launch();
  CHECK(sum.to_host().data<float>()[2] == 3);
}

TEST_CASE("graph: tensors made between launches never lie in its memory, which returns with it") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = numbers({33, 20}, 1, *device), weight = numbers({17, 20}, 2, *device);
  const Tensor expected = mixed(x, weight);
  const size_t before = memory_report(*device).allocated;
  {
    DeviceGraph graph(*device);
    Tensor y = graph.record([&] { return mixed(x, weight); });
    const size_t held = memory_report(*device).allocated;
    CHECK(held > before);
    std::vector<Tensor> others;  // of the sizes that the function makes, and with its values gone
    for (int k = 0; k < 20; ++k)
      for (const Shape& shape : {Shape{33, 20}, {33, 17}, {33, 34}, {32 << 20}})
        if (k == 0 || shape.rank() == 2) others.push_back(Tensor::full(shape, 7, DType::kF32, *device));
    graph.launch();
    for (const Tensor& other : others) CHECK(same_bits(other, Tensor::full(other.shape(), 7)));
    CHECK(same_bits(y, expected));
    others.clear();
    CHECK(memory_report(*device).allocated == held);
    y = Tensor();  // freed, but still the graph's
    CHECK(memory_report(*device).allocated == held);
    graph.launch();
  }
  CHECK(memory_report(*device).allocated == before);
}

TEST_CASE("graph: what it returned outlives it, and is freed as any tensor is") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = numbers({33, 20}, 1, *device), weight = numbers({17, 20}, 2, *device);
  const size_t before = memory_report(*device).allocated;
  Tensor y;
  {
    DeviceGraph graph(*device);
    y = graph.record([&] { return mixed(x, weight); });
    graph.launch();
  }
  CHECK(memory_report(*device).allocated > before);
  CHECK(same_bits(y, mixed(x, weight)));
  const void* block = y.raw();
  y = Tensor();
  CHECK(memory_report(*device).allocated == before);
  CHECK(Tensor::empty({33, 34}, DType::kF32, *device).raw() == block);
}

TEST_CASE("graph: what a device cannot do again by itself is an error, and the device goes on") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = numbers({4, 5}, 1, *device);
  DeviceGraph graph(*device);
  const size_t before = memory_report(*device).allocated;
  const auto refused = [&](const char* message, auto work) {
    CHECK_ERROR(graph.record(work), message);
    CHECK(memory_report(*device).allocated == before);
    CHECK_ERROR(graph.launch(), "nothing was recorded");
    CHECK(same_bits(ops::relu(x), ops::relu(x.to_host())));
  };
  refused("a copy to the host cannot be recorded in a graph", [&] { return ops::relu(x).to_host(); });
  refused("a copy to the host cannot be recorded",
          [&] { return ops::slice(x, 0, 0, 1).reshape({5}).rows(0, 1).item(); });
  refused("a copy from the host cannot be recorded", [&] { return Tensor::zeros({3}).to(*device); });
  refused("waiting for the device cannot be recorded", [&] {
    synchronize(*device);
    return 0;
  });
  { const Tensor cached = Tensor::empty({1000}, DType::kF32, *device); }
  int calls = 0;
  refused("giving back device memory cannot be recorded", [&] {
    if (++calls == 2) trim_cache(*device);
    return 0;
  });
  for (const int fatal : {1, 2}) {
    calls = 0;
    refused("an error of the function's own", [&] {
      const Tensor y = ops::relu(x);
      if (++calls == fatal) fail("an error of the function's own");
      return y;
    });
  }
  refused("memory pool: one is in use on this thread", [&] {
    DeviceGraph inner(*device);
    return inner.record([&] { return ops::relu(x); });
  });
  const Tensor y = graph.record([&] { return ops::relu(x); });
  graph.launch();
  CHECK(same_bits(y, ops::relu(x)));
}

TEST_CASE("graph: a function that asks for more memory when it is called again is an error that names the operator") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  const Tensor x = numbers({4, 5}, 1, *device);
  DeviceGraph graph(*device);
  std::vector<Tensor> kept;
  const auto hoard = [&] {
    kept.push_back(ops::relu(x));
    return kept.back();
  };
  CHECK_ERROR(graph.record(hoard), "asks for 80 bytes on " + device->str() + " that the run before the recording");
}

TEST_CASE("graph: a device that cannot record says so and names those that can") {
  const std::optional<Device> device = test::other_device();
  if (!device) return;
  CHECK_ERROR(DeviceGraph(Device{}), "device cpu cannot record graphs; those here that can: " + device->str());
}

}  // namespace tessera
