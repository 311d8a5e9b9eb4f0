// Matrix products: the shapes of convolutions as products, and those of SparseInst's decoder.
#include <fmt/core.h>

#include "bench/bench.h"
#include "ops/matmul.h"

namespace tessera::bench {

void product_cases(Cases& cases) {
  const i64 sizes[][3] = {{1024, 1024, 1024}, {2048, 2048, 2048}, {25600, 64, 64},  {25600, 256, 64}, {6400, 128, 512},
                          {6400, 128, 1152},  {1600, 256, 2304},  {400, 512, 4608}, {100, 256, 256}};
  for (const auto& [M, N, K] : sizes)
    cases.push_back({.group = "gemm",
                     .name = fmt::format("linear {} x {} x {}", M, N, K),
                     .peer = {{"op", "linear"}, {"M", M}, {"N", N}, {"K", K}},
                     .make = [=]() -> Call {
                       const Tensor x = random_tensor({M, K}), w = random_tensor({N, K});
                       return [=] { ops::linear(x, w, Tensor()); };
                     },
                     .operations = 2.0 * static_cast<double>(M * N * K)});
  cases.push_back({.group = "gemm",
                   .name = "matmul 100 x 256 x 6400, instance features",
                   .peer = {{"op", "matmul"}, {"a", {6400, 100}}, {"b", {6400, 256}}, {"transposed", "first"}},
                   .make = []() -> Call {
                     const Tensor maps = random_tensor({6400, 100}), features = random_tensor({6400, 256});
                     return [=] { ops::matmul(maps, features, ops::Transpose::kFirst); };
                   },
                   .operations = 2.0 * 100 * 256 * 6400});
  cases.push_back({.group = "gemm",
                   .name = "matmul 100 x 25600 x 128, mask product",
                   .peer = {{"op", "matmul"}, {"a", {100, 128}}, {"b", {25600, 128}}, {"transposed", "second"}},
                   .make = []() -> Call {
                     const Tensor kernels = random_tensor({100, 128}), pixels = random_tensor({25600, 128});
                     return [=] { ops::matmul(kernels, pixels, ops::Transpose::kSecond); };
                   },
                   .operations = 2.0 * 100 * 25600 * 128});
}

}  // namespace tessera::bench
