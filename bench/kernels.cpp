// Matrix products and convolutions: milliseconds, GFLOP/s and percent of the FMA peak measured in the same process.
#include <fmt/core.h>

#include <functional>

#include "bench/bench.h"
#include "bench/measure.h"
#include "ops/conv2d.h"
#include "ops/deform_conv2d.h"
#include "ops/matmul.h"
#include "tensor/random.h"

namespace tessera::bench {
namespace {

Tensor random_tensor(const Shape& shape) {
  Tensor tensor = Tensor::empty(shape);
  Random(1).fill_uniform(tensor, -1, 1);
  return tensor;
}

struct Conv {
  i64 in, out, size, kernel, stride, groups;
  int count;  // how often ResNet-50 has it; 0: another network's
};

// The convolutions of ResNet-50 at 640 x 640, then those of SparseInst's head and of MobileNetV2.
constexpr Conv kConvs[] = {{3, 64, 640, 7, 2, 1, 1},      {64, 64, 160, 1, 1, 1, 1},    {256, 64, 160, 1, 1, 1, 2},
                           {64, 64, 160, 3, 1, 1, 3},     {64, 256, 160, 1, 1, 1, 4},   {256, 128, 160, 1, 1, 1, 1},
                           {128, 128, 160, 3, 2, 1, 1},   {512, 128, 80, 1, 1, 1, 3},   {128, 128, 80, 3, 1, 1, 3},
                           {128, 512, 80, 1, 1, 1, 4},    {256, 512, 160, 1, 2, 1, 1},  {512, 256, 80, 1, 1, 1, 1},
                           {256, 256, 80, 3, 2, 1, 1},    {1024, 256, 40, 1, 1, 1, 5},  {256, 256, 40, 3, 1, 1, 5},
                           {256, 1024, 40, 1, 1, 1, 6},   {512, 1024, 80, 1, 2, 1, 1},  {1024, 512, 40, 1, 1, 1, 1},
                           {512, 512, 40, 3, 2, 1, 1},    {2048, 512, 20, 1, 1, 1, 2},  {512, 512, 20, 3, 1, 1, 2},
                           {512, 2048, 20, 1, 1, 1, 3},   {1024, 2048, 40, 1, 2, 1, 1}, {256, 256, 80, 3, 1, 1, 0},
                           {768, 256, 80, 1, 1, 1, 0},    {256, 400, 80, 3, 1, 4, 0},   {32, 32, 208, 3, 1, 32, 0},
                           {144, 144, 104, 3, 1, 144, 0}, {192, 192, 52, 3, 1, 192, 0}, {576, 576, 26, 3, 1, 576, 0},
                           {960, 960, 13, 3, 1, 960, 0}};

struct Table {
  const Options& options;
  double peak;  // operations per second of all threads

  const char* title = nullptr;  // printed before the first line below it

  bool wanted(const std::string& name) const { return name.find(options.filter) != std::string::npos; }

  // Prints one line; returns the seconds, or 0 when the filter leaves the line out.
  double line(const std::string& name, double operations, const std::function<void()>& work) {
    if (!wanted(name)) return 0;
    const double seconds = seconds_per_call(work, options.threads);
    print(name, operations, seconds);
    return seconds;
  }

  void print(const std::string& name, double operations, double seconds) {
    if (title) fmt::print("\n{:<44}{:>10}{:>10}{:>8}\n", title, "ms", "GFLOP/s", "% peak");
    title = nullptr;
    fmt::print("{:<44}{:>10.3f}{:>10.1f}{:>8.1f}\n", name, seconds * 1e3, operations / seconds * 1e-9,
               100 * operations / seconds / peak);
    fflush(stdout);
  }
};

struct Sum {
  double operations = 0, seconds = 0;
  void add(int count, double one_operations, double one_seconds) {
    if (one_seconds == 0) return;
    operations += count * one_operations;
    seconds += count * one_seconds;
  }
};

void products(Table& table) {
  const i64 sizes[][3] = {{1024, 1024, 1024}, {2048, 2048, 2048}, {25600, 64, 64},  {25600, 256, 64}, {6400, 128, 512},
                          {6400, 128, 1152},  {1600, 256, 2304},  {400, 512, 4608}, {100, 256, 256}};
  table.title = "linear, M x N x K";
  for (const auto& [M, N, K] : sizes) {
    const Tensor x = random_tensor({M, K}), w = random_tensor({N, K});
    table.line(fmt::format("{} x {} x {}", M, N, K), 2.0 * double(M * N * K), [&] { ops::linear(x, w, Tensor()); });
  }
  table.title = "matmul, M x N x K";
  const Tensor maps = random_tensor({6400, 100}), features = random_tensor({6400, 256});
  table.line("100 x 256 x 6400 (instance features)", 2.0 * 100 * 256 * 6400,
             [&] { ops::matmul(maps, features, ops::Transpose::kFirst); });
  const Tensor kernels = random_tensor({100, 128}), pixels = random_tensor({25600, 128});
  table.line("100 x 25600 x 128 (mask product)", 2.0 * 100 * 25600 * 128,
             [&] { ops::matmul(kernels, pixels, ops::Transpose::kSecond); });
}

double operations_of(const ops::Conv2dDims& dims) {
  return 2.0 * double(dims.N * dims.Ho * dims.Wo) * double(dims.Co * dims.Kh * dims.Kw * dims.group_in());
}

// Every convolution, for images of that size: forward with bias and ReLU, or also both gradients.
void convolutions(Table& table, i64 batch, i64 image, bool backward) {
  Sum forward_sum, packed_sum, winograd_sum, input_sum, weight_sum;
  for (const Conv& c : kConvs) {
    if (backward && c.count == 0) continue;
    const i64 size = c.size * image / 640;
    const ops::Conv2dParams params{
        .stride = c.stride, .padding = c.kernel / 2, .groups = c.groups, .activation = ops::Activation::kRelu};
    const Tensor x = random_tensor({batch, size, size, c.in}),
                 w = random_tensor({c.out, c.kernel, c.kernel, c.in / c.groups});
    const Tensor bias = random_tensor({c.out});
    const ops::Conv2dDims dims = ops::conv2d_dims("bench", x.shape(), w.shape(), params);
    const double operations = operations_of(dims);
    const std::string name = fmt::format("{}->{} {}x{} s{}{} @{}", c.in, c.out, c.kernel, c.kernel, c.stride,
                                         c.groups > 1 ? fmt::format(" g{}", c.groups) : "", size);
    forward_sum.add(c.count, operations, table.line(name, operations, [&] { ops::conv2d(x, w, bias, params); }));
    if (!backward) {
      const ops::PackedConv2d direct = ops::conv2d_pack(w, bias, params, false),
                              winograd = ops::conv2d_pack(w, bias, params, true);
      const double seconds = table.line(name + " packed", operations, [&] { ops::conv2d_packed(x, direct); });
      packed_sum.add(c.count, operations, seconds);
      winograd_sum.add(c.count, operations,
                       winograd.winograd
                           ? table.line(name + " winograd", operations, [&] { ops::conv2d_packed(x, winograd); })
                           : seconds);
      continue;
    }
    const Tensor gy = random_tensor({batch, dims.Ho, dims.Wo, c.out});
    if (c.in > 3)  // nobody asks for the gradient of an image
      input_sum.add(c.count, operations, table.line(name + " input gradient", operations, [&] {
        ops::conv2d_backward_input(gy, w, x.shape(), params);
      }));
    weight_sum.add(c.count, operations, table.line(name + " weight gradient", operations, [&] {
      ops::conv2d_backward_weight(gy, x, w.shape(), params);
    }));
  }
  if (!table.options.filter.empty()) return;
  table.print("sum over ResNet-50: forward", forward_sum.operations, forward_sum.seconds);
  if (!backward) {
    table.print("sum over ResNet-50: packed", packed_sum.operations, packed_sum.seconds);
    table.print("sum over ResNet-50: packed, Winograd", winograd_sum.operations, winograd_sum.seconds);
    return;
  }
  table.print("sum over ResNet-50: input gradients", input_sum.operations, input_sum.seconds);
  table.print("sum over ResNet-50: weight gradients", weight_sum.operations, weight_sum.seconds);
}

void deformable(Table& table) {
  const ops::DeformConv2dParams params{.padding = 1};
  const Tensor x = random_tensor({1, 80, 80, 256}), w = random_tensor({256, 3, 3, 256}),
               gy = random_tensor({1, 80, 80, 256});
  const Tensor offset = random_tensor({1, 80, 80, 18}), mask = random_tensor({1, 80, 80, 9});
  const double operations = 2.0 * 80 * 80 * 256 * 9 * 256;
  table.title = "deform_conv2d v2, 256->256 3x3 @80";
  table.line("deform forward", operations, [&] { ops::deform_conv2d(x, offset, mask, w, Tensor(), params); });
  table.line("deform gradient of x, offset, mask", operations,
             [&] { ops::deform_conv2d_backward_input(gy, x, offset, mask, w, params); });
  table.line("deform weight gradient", operations,
             [&] { ops::deform_conv2d_backward_weight(gy, x, offset, mask, w.shape(), params); });
}

}  // namespace

void kernels(const Options& options) {
  const double peak = fma_peak();
  fmt::print("SIMD level {}, {} thread{}, FMA peak {:.1f} GFLOP/s per thread\n", name_of(simd_level()), options.threads,
             options.threads == 1 ? "" : "s", peak * 1e-9);
  Table table{options, peak * options.threads};
  products(table);
  table.title = "conv2d + bias + ReLU, batch 1";
  convolutions(table, 1, 640, false);
  table.title = "conv2d at training size, batch 2";
  convolutions(table, 2, 256, true);
  deformable(table);
}

}  // namespace tessera::bench
