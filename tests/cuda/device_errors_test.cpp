// What a device beside the CPU can lack or refuse: every case is an error that says so, and the CPU goes on.
#include <doctest/doctest.h>

#include "ops/conv2d.h"
#include "ops/fallbacks.h"
#include "ops/pointwise.h"
#include "tensor/allocator.h"
#include "tensor/cuda/emulated/inject.h"
#include "tensor/device_runtime.h"
#include "tensor/random.h"
#include "tests/support/check_error.h"

namespace tessera {

namespace {

constexpr Device kEmulated{DeviceKind::kCudaEmulated, 0};

// Another machine for the time of a test.
class MachineScope {
 public:
  explicit MachineScope(const emulated::Machine& machine) { emulated::machine() = machine; }
  ~MachineScope() { emulated::machine() = {}; }
};

}  // namespace

TEST_CASE("device: names are parsed, and printed as they are parsed") {
  CHECK(Device::parse("cpu") == Device{});
  CHECK(Device::parse("cuda-emulated") == kEmulated);
  CHECK(Device::parse("cuda-emulated:0").str() == "cuda-emulated");
  for (const char* wrong : {"gpu", "", ":", "cpu:", "cuda-emulated:-1", "cuda-emulated:x", "cuda-emulated:99999999999"})
    CHECK_ERROR(Device::parse(wrong), "Present here: cpu, cuda-emulated");
}

TEST_CASE("device: a build without CUDA, a machine without a GPU and a driver that is too old are three errors") {
  CHECK_ERROR(Device::parse("cuda"), "this build has no CUDA");
  {
    const MachineScope scope({.devices = 0});
    CHECK_ERROR(Device::parse("cuda-emulated"), "device cuda-emulated: no GPU found");
    CHECK(present_devices() == std::vector<Device>{Device{}});
  }
  const MachineScope scope({.count_status = cudaErrorInsufficientDriver});
  CHECK_ERROR(Device::parse("cuda-emulated"), "no driver, or it is older than the CUDA toolkit");
  CHECK(ops::relu(Tensor::full({1}, 2)).item() == 2);
}

TEST_CASE("device: an index that is too large is an error that tells how many there are") {
  CHECK_ERROR(Device::parse("cuda-emulated:1"), "there is only 1 cuda-emulated device here");
  const MachineScope scope({.devices = 3});
  CHECK(Device::parse("cuda-emulated:2").str() == "cuda-emulated:2");
  CHECK_ERROR(Device::parse("cuda-emulated:3"), "there are only 3 cuda-emulated devices here");
}

TEST_CASE(
    "device: out of memory tells the operator and allocated, cached and free bytes, and the cache is given back "
    "first") {
  trim_cache(kEmulated);
  const MachineScope scope({.memory = size_t{1} << 20});
  {
    const Tensor gone = Tensor::empty({120 * 1024}, DType::kF32, kEmulated);
    const Tensor as_well = Tensor::empty({120 * 1024}, DType::kF32, kEmulated);
  }
  CHECK(memory_report(kEmulated).cached >= 960 * 1024);
  const Tensor x = Tensor::zeros({150 * 1024}, DType::kF32, kEmulated);  // fits only without both cached blocks
  CHECK(memory_report(kEmulated).cached == 0);
  const std::string report = "out of memory on cuda-emulated: 614400 bytes asked for; ";
  CHECK_ERROR(ops::relu(x), report);
  CHECK_ERROR(ops::relu(x), " allocated, 0 cached, ");
  CHECK(x.to_host().data<float>()[0] == 0);  // what was there is still there
}

TEST_CASE(
    "device: what the library of convolutions refuses, with a bias or at all, is computed all the same and counted") {
  Tensor x = Tensor::empty({1, 5, 5, 3}), weight = Tensor::empty({4, 3, 3, 3}), bias = Tensor::empty({4});
  Random random(1);
  for (Tensor* tensor : {&x, &weight, &bias}) random.fill_uniform(*tensor, -1, 1);
  const auto compute = [&](Device device) {
    const ops::Conv2dParams params{.padding = 1, .activation = ops::Activation::kRelu6};
    const Tensor there = x.to(device), w = weight.to(device);
    const Tensor y = ops::conv2d(there, w, bias.to(device), params);
    return std::array{y.to_host(), ops::conv2d_backward_input(y, w, x.shape(), params).to_host(),
                      ops::conv2d_backward_weight(y, there, weight.shape(), params).to_host()};
  };
  const auto expected = compute({});
  const auto check = [&](const emulated::Machine& machine, i64 refused) {
    const MachineScope scope(machine);
    const i64 before = ops::fallbacks();
    const auto found = compute(kEmulated);
    CHECK(ops::fallbacks() - before == refused);
    for (size_t i = 0; i < found.size(); ++i)
      for (i64 k = 0; k < found[i].numel(); ++k)
        REQUIRE(found[i].data<float>()[k] == doctest::Approx(expected[i].data<float>()[k]).epsilon(1e-5));
  };
  check({}, 0);
  check({.bare_convolutions = true}, 1);
  check({.no_convolutions = true}, 3);
}

TEST_CASE("device: tensors on different devices are refused with the argument's position and the way out") {
  const Tensor here = Tensor::zeros({2, 3}), there = here.to(kEmulated);
  CHECK_ERROR(ops::add(here, there), "is on cuda-emulated, the arguments before it on cpu; move it with to()");
  CHECK_ERROR(there.data<float>(), "lies on cuda-emulated, where the processor cannot read it");
  Tensor target = Tensor::zeros({2, 3});
  CHECK_ERROR(target.copy_from(there), "copy: source on cuda-emulated, target on cpu");
}

TEST_CASE("device: tensors go there and back, are filled and converted with the same bits as on the CPU") {
  std::vector<float> values(3'000'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.37f - 1000;
  const Tensor x = Tensor::from(values), there = x.to(kEmulated);
  CHECK(std::ranges::equal(there.to_host().span<float>(), x.span<float>()));
  CHECK(std::ranges::equal(there.clone().to_host().span<float>(), x.span<float>()));
  for (const DType dtype : {DType::kF64, DType::kI64, DType::kI32}) {
    const Tensor converted = there.to(dtype).to_host(), expected = x.to(dtype);
    CHECK(std::memcmp(converted.raw(), expected.raw(), expected.bytes()) == 0);
  }
  for (const DType dtype : {DType::kF16, DType::kBF16})
    CHECK(std::memcmp(there.to(dtype).to_host().raw(), x.to(dtype).raw(), x.bytes() / 2) == 0);
  CHECK(Tensor::full({5}, 2.5, DType::kBF16, kEmulated).to(DType::kF32).to_host().data<float>()[4] == 2.5f);
  CHECK(Tensor::full({1}, 7, DType::kI64, kEmulated).item() == 7);
  CHECK(Tensor::zeros({3, 0}, DType::kF32, kEmulated).to_host().numel() == 0);
}

}  // namespace tessera
