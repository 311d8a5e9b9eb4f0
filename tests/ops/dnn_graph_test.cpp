// What cuDNN would do for a GPU that is described, in a build for CUDA: none has to be there.
#include "ops/cuda/dnn_graph.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <set>

namespace tessera::cuda {

namespace {

const PlanTarget& h200() {
  static const PlanTarget target(
      R"({"deviceName": "NVIDIA H200", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0,
      "isTccDriver": 0, "supportCoopLaunch": 1, "multiProcessorCount": 132, "warpSize": 32, "maxCtasPerSM": 32,
      "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "regsPerBlock": 65536, "maxRegistersPerSM": 65536,
      "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024,
      "l2CacheSize": 62914560, "totalGlobalMem": 150110011392, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000,
      "maxBlockSize": [1024, 1024, 64], "maxGridSize": [2147483647, 65535, 65535]})");
  return target;
}

ops::Conv2dDims dims(i64 N, i64 H, i64 Ci, i64 Co, i64 K, i64 stride = 1, i64 groups = 1, i64 padding = -1) {
  return ops::conv2d_dims("test", {N, H, H, Ci}, {Co, K, K, Ci / groups},
                          {.stride = stride, .padding = padding < 0 ? K / 2 : padding, .groups = groups});
}

// Of SparseInst-R50 for pictures of 640 x 640.
std::vector<ops::Conv2dDims> convolutions() {
  constexpr i64 N = 8;
  std::vector<ops::Conv2dDims> all = {dims(N, 640, 3, 64, 7, 2)};
  i64 channels = 64, H = 160;  // what the stage gets
  for (const i64 width : {64, 128, 256, 512}) {
    const i64 stride = width == 64 ? 1 : 2;
    all.push_back(dims(N, H, channels, width, 1));
    all.push_back(dims(N, H, width, width, 3, stride));
    all.push_back(dims(N, H, channels, 4 * width, 1, stride));
    H /= stride;
    all.push_back(dims(N, H, width, 4 * width, 1));
    all.push_back(dims(N, H, 4 * width, width, 1));
    all.push_back(dims(N, H, width, width, 3));
    channels = 4 * width;
  }
  for (const i64 size : {1, 2, 3, 6}) all.push_back(dims(N, size, 256, 64, 1));
  for (const auto& [size, Ci] : {std::pair<i64, i64>{80, 512}, {40, 1024}, {20, 2048}}) {
    all.push_back(dims(N, size, Ci, 256, 1));
    all.push_back(dims(N, size, 256, 256, 3));
  }
  all.push_back(dims(N, 20, 512, 256, 1));
  all.push_back(dims(N, 80, 768, 256, 1));
  all.push_back(dims(N, 80, 258, 256, 3));
  all.push_back(dims(N, 80, 256, 100, 3));
  all.push_back(dims(N, 80, 256, 400, 3, 1, 4));
  all.push_back(dims(N, 80, 256, 128, 1));
  return all;
}

// One of each direction, and the forward with what follows it in a network.
std::vector<Convolution> works(const ops::Conv2dDims& dims, DType dtype, bool tf32) {
  const auto forward = [&](bool bias, bool residual, bool relu) {
    return Convolution{Direction::kForward, dtype, tf32, bias, residual, relu, dims};
  };
  return {forward(false, false, false),
          forward(true, false, true),
          forward(true, true, true),
          {Direction::kBackwardInput, dtype, tf32, false, false, false, dims},
          {Direction::kBackwardWeight, dtype, tf32, false, false, false, dims}};
}

}  // namespace

TEST_CASE("convolution graphs: an H200 has plans for all of SparseInst-R50 in f32, TF32 and bf16") {
  for (const ops::Conv2dDims& d : convolutions())
    for (const auto& [dtype, tf32] : {std::pair{DType::kF32, false}, {DType::kF32, true}, {DType::kBF16, false}})
      for (const Convolution& c : works(d, dtype, tf32)) {
        CAPTURE(name_of(c));
        const std::vector<Candidate> found = candidates(h200(), c);
        REQUIRE(!found.empty());
        CHECK(std::ranges::any_of(found, [](const Candidate& candidate) {
          return ConvolutionPlan(h200(), candidate).workspace() <= i64{512} << 20;
        }));
      }
}

TEST_CASE("convolution graphs: an engine and its knobs are offered once, tensor cores only where TF32 is allowed") {
  for (const i64 Ci : {3, 81, 100, 256, 258}) {
    const ops::Conv2dDims d = dims(8, 80, Ci, 256, 3);
    const auto names = [&](bool tf32) {
      std::set<std::string> all;
      const std::vector<Candidate> found =
          candidates(h200(), {Direction::kForward, DType::kF32, tf32, true, false, true, d});
      for (const Candidate& candidate : found) all.insert(candidate.name);
      CHECK(all.size() == found.size());
      return all;
    };
    const std::set<std::string> exact = names(false), rounded = names(true);
    CAPTURE(Ci);
    CHECK(std::ranges::includes(rounded, exact));
    CHECK(rounded.size() > exact.size());
  }
}

TEST_CASE("convolution graphs: channels that are no multiple of 16 bytes are padded by the engine, in its workspace") {
  const ops::Conv2dDims d = dims(8, 80, 258, 256, 3);
  const std::vector<Candidate> found =
      candidates(h200(), {Direction::kForward, DType::kBF16, false, true, false, true, d});
  REQUIRE(!found.empty());
  CHECK(ConvolutionPlan(h200(), found[0]).workspace() >= d.N * d.H * d.W * 264 * 2);
}

TEST_CASE("convolution graphs: what cuDNN does not take has no engine") {
  CHECK(candidates(h200(), {Direction::kForward, DType::kF32, false, false, true, true, dims(1, 8, 8, 8, 3)}).empty());
}

}  // namespace tessera::cuda
