// What cuDNN wants described (shapes, the algorithm, its workspace) is kept per shape and handle for the life of the
// process, so that a call costs a look-up.
//
// The forward takes the one algorithm that every epilogue can follow, an implicit matrix product; it is deterministic.
// The gradients take the first of those that cuDNN recommends that is deterministic, with the math type it comes with.
#include "ops/cuda/dnn_legacy.h"

#include <cudnn.h>

#include <map>
#include <tuple>

#include "ops/precision.h"
#include "tensor/device_counts.h"

namespace tessera::cuda {

namespace {

using ops::Conv2dDims;

constexpr cudnnConvolutionFwdAlgo_t kForwardAlgorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;

// Whether cuDNN does it.
bool taken(cudnnStatus_t status, const char* call) {
  try {
    check_taken(status, call);
    return true;
  } catch (const Refused&) {
    return false;
  }
}

// Not freed: it lives as long as the process.
struct Plan {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr, bias = nullptr;
  cudnnFilterDescriptor_t weight = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  bool taken = false;
  int algorithm = 0;  // of the direction's enumeration
  size_t workspace = 0;
};

// The flag: whether more than the sum is asked for. What cuDNN refuses with it, it may take without.
using Key =
    std::tuple<cudnnHandle_t, Direction, bool, DType, Precision, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64>;

// Of all handles. One thread at a time uses cuDNN (ops/cuda/dnn.cpp), and these.
std::map<Key, Plan>& plans() {
  static auto* all = new std::map<Key, Plan>;
  return *all;
}

cudnnActivationDescriptor_t describe(cudnnActivationMode_t mode) {
  cudnnActivationDescriptor_t descriptor = nullptr;
  check_dnn(cudnnCreateActivationDescriptor(&descriptor), "cudnnCreateActivationDescriptor");
  check_dnn(cudnnSetActivationDescriptor(descriptor, mode, CUDNN_PROPAGATE_NAN, 0), "cudnnSetActivationDescriptor");
  return descriptor;
}

cudnnDataType_t data_type(DType dtype) {
  return dtype == DType::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

cudnnTensorDescriptor_t describe(DType dtype, i64 N, i64 H, i64 W, i64 C) {
  cudnnTensorDescriptor_t descriptor = nullptr;
  check_dnn(cudnnCreateTensorDescriptor(&descriptor), "cudnnCreateTensorDescriptor");
  check_dnn(cudnnSetTensor4dDescriptor(descriptor, CUDNN_TENSOR_NHWC, data_type(dtype), static_cast<int>(N),
                                       static_cast<int>(C), static_cast<int>(H), static_cast<int>(W)),
            "cudnnSetTensor4dDescriptor");
  return descriptor;
}

// The first recommended algorithm that is deterministic and computes with `math`'s products; perf: cuDNN's struct for
// the direction. query(most, count, found) asks for the list, measure(algorithm, bytes) for the workspace with the math
// type that is then set.
template <class Perf, class Query, class Measure>
void choose_algorithm(Plan& plan, cudnnMathType_t math, const Query& query, const Measure& measure) {
  constexpr int kMost = 16;
  Perf found[kMost];
  int count = 0;
  if (!taken(query(kMost, &count, found), "cudnnGetConvolutionAlgorithm")) return;
  for (int i = 0; i < count && !plan.taken; ++i) {
    if (found[i].status != CUDNN_STATUS_SUCCESS || found[i].determinism != CUDNN_DETERMINISTIC) continue;
    if (math == CUDNN_FMA_MATH && found[i].mathType != CUDNN_FMA_MATH) continue;
    check_dnn(cudnnSetConvolutionMathType(plan.convolution, found[i].mathType), "cudnnSetConvolutionMathType");
    plan.taken = taken(measure(found[i].algo, &plan.workspace), "cudnnGetConvolutionWorkspaceSize") &&
                 plan.workspace <= kMostWorkspace;
    plan.algorithm = found[i].algo;
  }
}

Plan make_plan(cudnnHandle_t handle, Direction direction, DType dtype, const Conv2dDims& dims) {
  Plan plan;
  plan.x = describe(dtype, dims.N, dims.H, dims.W, dims.Ci);
  plan.y = describe(dtype, dims.N, dims.Ho, dims.Wo, dims.Co);
  plan.bias = describe(dtype, 1, 1, 1, dims.Co);
  check_dnn(cudnnCreateFilterDescriptor(&plan.weight), "cudnnCreateFilterDescriptor");
  check_dnn(cudnnSetFilter4dDescriptor(plan.weight, data_type(dtype), CUDNN_TENSOR_NHWC, static_cast<int>(dims.Co),
                                       static_cast<int>(dims.group_in()), static_cast<int>(dims.Kh),
                                       static_cast<int>(dims.Kw)),
            "cudnnSetFilter4dDescriptor");
  const int padding = static_cast<int>(dims.padding), stride = static_cast<int>(dims.stride),
            dilation = static_cast<int>(dims.dilation);
  check_dnn(cudnnCreateConvolutionDescriptor(&plan.convolution), "cudnnCreateConvolutionDescriptor");
  check_dnn(cudnnSetConvolution2dDescriptor(plan.convolution, padding, padding, stride, stride, dilation, dilation,
                                            CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
            "cudnnSetConvolution2dDescriptor");
  check_dnn(cudnnSetConvolutionGroupCount(plan.convolution, static_cast<int>(dims.groups)),
            "cudnnSetConvolutionGroupCount");
  // The default allows TF32; products of bf16 are exact in f32, so tensor cores take nothing away from them.
  const cudnnMathType_t math = dtype == DType::kBF16                ? CUDNN_TENSOR_OP_MATH
                               : precision() == Precision::kHighest ? CUDNN_FMA_MATH
                                                                    : CUDNN_DEFAULT_MATH;
  check_dnn(cudnnSetConvolutionMathType(plan.convolution, math), "cudnnSetConvolutionMathType");
  switch (direction) {
    case Direction::kForward:
      plan.algorithm = kForwardAlgorithm;
      plan.taken = taken(cudnnGetConvolutionForwardWorkspaceSize(handle, plan.x, plan.weight, plan.convolution, plan.y,
                                                                 kForwardAlgorithm, &plan.workspace),
                         "cudnnGetConvolutionForwardWorkspaceSize");
      break;
    case Direction::kBackwardInput:
      choose_algorithm<cudnnConvolutionBwdDataAlgoPerf_t>(
          plan, math,
          [&](int most, int* count, auto* found) {
            return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, plan.weight, plan.y, plan.convolution, plan.x,
                                                               most, count, found);
          },
          [&](auto algorithm, size_t* bytes) {
            return cudnnGetConvolutionBackwardDataWorkspaceSize(handle, plan.weight, plan.y, plan.convolution, plan.x,
                                                                algorithm, bytes);
          });
      break;
    case Direction::kBackwardWeight:
      choose_algorithm<cudnnConvolutionBwdFilterAlgoPerf_t>(
          plan, math,
          [&](int most, int* count, auto* found) {
            return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, plan.x, plan.y, plan.convolution, plan.weight,
                                                                 most, count, found);
          },
          [&](auto algorithm, size_t* bytes) {
            return cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, plan.x, plan.y, plan.convolution, plan.weight,
                                                                  algorithm, bytes);
          });
      break;
  }
  return plan;
}

// run(plan, workspace) enqueues the convolution of tensors like x, and `more` than the sum. Whether cuDNN did it.
template <class Run>
bool convolve(cudnnHandle_t handle, Direction direction, bool more, const Conv2dDims& dims, const Tensor& x,
              const char* call, const Run& run) {
  const Key key{handle,  direction, more,    x.dtype(), precision(), dims.N,       dims.H,        dims.W,
                dims.Ci, dims.Co,   dims.Kh, dims.Kw,   dims.stride, dims.padding, dims.dilation, dims.groups};
  auto found = plans().find(key);
  if (found == plans().end()) found = plans().emplace(key, make_plan(handle, direction, x.dtype(), dims)).first;
  Plan& plan = found->second;
  if (!plan.taken) return false;
  Tensor workspace = Tensor::empty({static_cast<i64>(plan.workspace)}, DType::kU8, x.device());
  count_device_launch();
  plan.taken = taken(run(plan, workspace.raw()), call);
  return plan.taken;
}

constexpr float kOne = 1, kZero = 0;

}  // namespace

bool legacy_conv2d(cudnnHandle_t handle, const Conv2dDims& dims, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, const Tensor& residual, bool relu, Tensor& y) {
  const auto run = [&](const Plan& plan, void* workspace) {
    if (!bias.defined())
      return cudnnConvolutionForward(handle, &kOne, plan.x, x.raw(), plan.weight, weight.raw(), plan.convolution,
                                     kForwardAlgorithm, workspace, plan.workspace, &kZero, plan.y, y.raw());
    static const cudnnActivationDescriptor_t rectified = describe(CUDNN_ACTIVATION_RELU),
                                             identity = describe(CUDNN_ACTIVATION_IDENTITY);
    const Tensor& term = residual.defined() ? residual : y;
    return cudnnConvolutionBiasActivationForward(handle, &kOne, plan.x, x.raw(), plan.weight, weight.raw(),
                                                 plan.convolution, kForwardAlgorithm, workspace, plan.workspace,
                                                 residual.defined() ? &kOne : &kZero, plan.y, term.raw(), plan.bias,
                                                 bias.raw(), relu ? rectified : identity, plan.y, y.raw());
  };
  return convolve(handle, Direction::kForward, bias.defined(), dims, x, "cudnnConvolutionForward", run);
}

bool legacy_conv2d_backward_input(cudnnHandle_t handle, const Conv2dDims& dims, const Tensor& gy, const Tensor& weight,
                                  Tensor& gx) {
  const auto run = [&](const Plan& plan, void* workspace) {
    return cudnnConvolutionBackwardData(handle, &kOne, plan.weight, weight.raw(), plan.y, gy.raw(), plan.convolution,
                                        static_cast<cudnnConvolutionBwdDataAlgo_t>(plan.algorithm), workspace,
                                        plan.workspace, &kZero, plan.x, gx.raw());
  };
  return convolve(handle, Direction::kBackwardInput, false, dims, gy, "cudnnConvolutionBackwardData", run);
}

bool legacy_conv2d_backward_weight(cudnnHandle_t handle, const Conv2dDims& dims, const Tensor& gy, const Tensor& x,
                                   Tensor& gw) {
  const auto run = [&](const Plan& plan, void* workspace) {
    return cudnnConvolutionBackwardFilter(handle, &kOne, plan.x, x.raw(), plan.y, gy.raw(), plan.convolution,
                                          static_cast<cudnnConvolutionBwdFilterAlgo_t>(plan.algorithm), workspace,
                                          plan.workspace, &kZero, plan.weight, gw.raw());
  };
  return convolve(handle, Direction::kBackwardWeight, false, dims, gy, "cudnnConvolutionBackwardFilter", run);
}

}  // namespace tessera::cuda
