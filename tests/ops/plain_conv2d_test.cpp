// The convolutions of a CUDA device against the CPU's: the handwritten one, the packed one, the library's. Without a
// GPU a build for one has nothing to run here.
#include "ops/cuda/plain_conv2d.h"

#include <iterator>
#include <vector>

#include "ops/precision.h"
#include "tensor/device_runtime.h"
#include "tests/ops/compare.h"

namespace tessera::test {
namespace {

using ops::Activation;
using ops::Conv2dParams;

struct Sizes {
  i64 N, H, W, I, O, Kh, Kw;  // I and O per group
  Conv2dParams params;
};

const Sizes kSizes[] = {
    {1, 1, 1, 1, 1, 1, 1, {}},
    {2, 5, 4, 3, 6, 1, 1, {}},
    {1, 9, 8, 7, 5, 3, 3, {.padding = 1}},
    {2, 9, 8, 4, 70, 3, 3, {.stride = 2, .padding = 1}},  // two tiles of columns, three of rows
    {1, 10, 9, 3, 5, 3, 3, {.stride = 2, .padding = 3, .dilation = 3}},
    {1, 6, 7, 2, 3, 2, 4, {.padding = 1}},  // an even kernel that is not square
    {1, 2, 3, 2, 3, 3, 3, {.padding = 4}},  // windows that see padding alone
    {1, 9, 9, 2, 3, 2, 2, {.stride = 5}},   // pixels that no window sees
    {1, 5, 6, 8, 3, 3, 3, {.padding = 1, .groups = 4}},
    {1, 7, 6, 1, 1, 3, 3, {.stride = 2, .padding = 1, .groups = 5}},
};

// What a shape's checks share: operands on the CPU, and the CUDA device.
struct Operands {
  ops::Conv2dDims dims;
  Tensor x, weight, bias, gy;
  Operands(Random& random, const Sizes& s) {
    const i64 groups = s.params.groups;
    x = random_tensor(random, {s.N, s.H, s.W, s.I * groups}, DType::kF32);
    weight = random_tensor(random, {s.O * groups, s.Kh, s.Kw, s.I}, DType::kF32);
    bias = random_tensor(random, {s.O * groups}, DType::kF32);
    dims = ops::conv2d_dims("conv2d", x.shape(), weight.shape(), s.params);
    gy = random_tensor(random, dims.output(), DType::kF32);
  }
};

// body(device) for this machine's CUDA device, real or emulated.
template <class Body>
void on_cuda(const Body& body) {
  for (const Device device : present_devices()) {
    if (device.index != 0 || (device.kind != DeviceKind::kCuda && device.kind != DeviceKind::kCudaEmulated)) continue;
    const DeviceScope scope("plain_conv2d", device);
    body(device);
  }
}

}  // namespace

TEST_CASE("plain_conv2d: forward and both gradients equal conv2d on the CPU") {
  on_cuda([](Device device) {
    Random random(21);
    for (const Sizes& s : kSizes) {
      const Operands o(random, s);
      CAPTURE(o.x.shape().str());
      CAPTURE(o.weight.shape().str());
      Tensor y = Tensor::empty(o.gy.shape(), DType::kF32, device), gx = Tensor::empty(o.x.shape(), DType::kF32, device),
             gw = Tensor::empty(o.weight.shape(), DType::kF32, device);
      const Tensor x = o.x.to(device), weight = o.weight.to(device), gy = o.gy.to(device);
      cuda::plain_conv2d(o.dims, x, weight, Tensor(), Tensor(), Activation::kNone, y);
      CHECK(difference(y.to_host(), ops::conv2d(o.x, o.weight, Tensor(), s.params)) < 2e-6);
      cuda::plain_conv2d_backward_input(o.dims, gy, weight, gx);
      CHECK(difference(gx.to_host(), ops::conv2d_backward_input(o.gy, o.weight, o.x.shape(), s.params)) < 2e-6);
      cuda::plain_conv2d_backward_weight(o.dims, gy, x, gw);
      CHECK(difference(gw.to_host(), ops::conv2d_backward_weight(o.gy, o.x, o.weight.shape(), s.params)) < 2e-6);
    }
  });
}

TEST_CASE("plain_conv2d: bias, residual and activation follow the sum") {
  on_cuda([](Device device) {
    Random random(22);
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
      Sizes s{1, 6, 5, 20, 7, 3, 3, {.padding = 1, .activation = activation}};
      const Operands o(random, s);
      const Tensor packed = ops::conv2d_packed(o.x, ops::conv2d_pack(o.weight, o.bias, s.params, false), o.gy);
      Tensor y = Tensor::empty(o.gy.shape(), DType::kF32, device);
      cuda::plain_conv2d(o.dims, o.x.to(device), o.weight.to(device), o.bias.to(device), o.gy.to(device), activation,
                         y);
      CHECK(difference(y.to_host(), packed) < 2e-6);
    }
  });
}

TEST_CASE("conv2d_packed: a CUDA device gives what the CPU gives, with bias, residual and every activation") {
  on_cuda([](Device device) {
    Random random(23);
    for (const Sizes& size : kSizes)
      for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
        Sizes s = size;
        s.params.activation = activation;
        const Operands o(random, s);
        CAPTURE(o.x.shape().str());
        CAPTURE(o.weight.shape().str());
        const ops::PackedConv2d here = ops::conv2d_pack(o.weight, o.bias, s.params, false),
                                there = ops::conv2d_pack(o.weight.to(device), o.bias.to(device), s.params, false);
        CHECK(difference(ops::conv2d_packed(o.x.to(device), there).to_host(), ops::conv2d_packed(o.x, here)) < 2e-6);
        CHECK(difference(ops::conv2d_packed(o.x.to(device), there, o.gy.to(device)).to_host(),
                         ops::conv2d_packed(o.x, here, o.gy)) < 2e-6);
      }
  });
}

TEST_CASE("conv2d: a CUDA device's fastest algorithm and the recommended one are near the CPU, and repeat their bits") {
  on_cuda([](Device device) {
    Random random(24);
    std::vector<Sizes> sizes(std::begin(kSizes), std::end(kSizes));
    for (const i64 channels : {3, 64, 81, 100, 258})  // multiples of 16 bytes and others
      sizes.push_back({2, 20, 20, channels, channels, 3, 3, {.padding = 1}});
    for (const Sizes& s : sizes)
      for (const bool tune : {true, false}) {
        const ArithmeticScope arithmetic({.tune = tune});
        const Operands o(random, s);
        CAPTURE(o.x.shape().str());
        CAPTURE(o.weight.shape().str());
        const Tensor x = o.x.to(device), weight = o.weight.to(device), gy = o.gy.to(device);
        const auto check = [](const auto& work, const Tensor& expected) {
          const Tensor result = work().to_host();
          CHECK(difference(result, expected) < 4e-6);
          CHECK(same_bits(work().to_host(), result));
        };
        check([&] { return ops::conv2d(x, weight, o.bias.to(device), s.params); },
              ops::conv2d(o.x, o.weight, o.bias, s.params));
        check([&] { return ops::conv2d_backward_input(gy, weight, x.shape(), s.params); },
              ops::conv2d_backward_input(o.gy, o.weight, o.x.shape(), s.params));
        check([&] { return ops::conv2d_backward_weight(gy, x, weight.shape(), s.params); },
              ops::conv2d_backward_weight(o.gy, o.x, o.weight.shape(), s.params));
      }
  });
}

TEST_CASE("conv2d: a CUDA device takes maps that lie at any address") {
  on_cuda([](Device device) {
    Random random(25);
    const Tensor x = random_tensor(random, {3, 3, 3, 3}, DType::kF32);  // 108 bytes each
    const Tensor weight = random_tensor(random, {4, 3, 3, 3}, DType::kF32);
    const Conv2dParams params{.padding = 1};
    CHECK(difference(ops::conv2d(x.to(device).rows(1, 3), weight.to(device), Tensor(), params).to_host(),
                     ops::conv2d(x.rows(1, 3), weight, Tensor(), params)) < 2e-6);
  });
}

}  // namespace tessera::test
