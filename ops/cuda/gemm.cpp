// gemm() by cuBLASLt. Its matrices are column-major: a row-major [M, N] with pitch p is its [N, M] with leading
// dimension p, so C^T = B^T A^T is asked for, and no matrix is moved. The algorithm is asked for once per shape,
// alignment and GPU and kept; the descriptions are small structs on the stack. Where cuBLASLt has no algorithm cuBLAS
// computes the product, and what follows it is a pass of its own; ops/fallbacks.h counts that.
#include "ops/cuda/gemm.h"

#include <cublasLt.h>
#include <cublas_v2.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <type_traits>

#include "ops/cuda/apply_epilogue.h"
#include "ops/fallbacks.h"
#include "ops/precision.h"
#include "tensor/allocator.h"
#include "tensor/cuda/runtime.h"
#include "tensor/device_counts.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // bytes that an algorithm may use, as NVIDIA recommends for Hopper

const char* op_name() {
  return OpScope::current() ? OpScope::current() : "gemm";
}

void check_blas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail("cuda: {}: {} failed: {}", op_name(), call, cublasLtGetStatusString(status));
}

// [rows, columns] column-major, `pitch` elements from column to column.
struct Layout {
  cublasLtMatrixLayoutOpaque_t memory;
  Layout(cudaDataType_t type, i64 rows, i64 columns, i64 pitch, i64 batch, i64 stride) {
    check_blas(
        cublasLtMatrixLayoutInit(&memory, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), pitch),
        "cublasLtMatrixLayoutInit");
    if (batch == 1) return;
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<int32_t>(batch));
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, static_cast<int64_t>(stride));
  }
  template <class T>
  void set(cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
    check_blas(cublasLtMatrixLayoutSetAttribute(&memory, attribute, &value, sizeof value),
               "cublasLtMatrixLayoutSetAttribute");
  }
};

struct Description {
  cublasLtMatmulDescOpaque_t memory;
  explicit Description(cublasComputeType_t compute) {
    check_blas(cublasLtMatmulDescInit(&memory, compute, CUDA_R_32F), "cublasLtMatmulDescInit");
  }
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulDescSetAttribute(&memory, attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
  }
};

template <class T>
constexpr cudaDataType_t kDataType = std::is_same_v<T, float> ? CUDA_R_32F : CUDA_R_16BF;

template <class T>
cublasComputeType_t compute_type() {
  if (!std::is_same_v<T, float>) return CUBLAS_COMPUTE_32F;
  switch (precision()) {
    case Precision::kHigh:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::kMedium:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
    default:
      return CUBLAS_COMPUTE_32F;
  }
}

// The largest power of two, at most 256, that divides the address: what cuBLASLt may rely on.
uint32_t alignment(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// What the best algorithm depends on.
using Key = std::array<i64, 21>;

template <class T, class Sum>
Key key_of(const Gemm<T, Sum>& g) {
  return {g.batch,
          g.M,
          g.N,
          g.K,
          g.a_pitch,
          g.a_stride,
          g.transpose_a,
          g.b_pitch,
          g.b_stride,
          g.transpose_b,
          g.c_pitch,
          g.c_stride,
          g.accumulate,
          g.relu,
          g.bias ? alignment(g.bias) : 0,
          alignment(g.a),
          alignment(g.b),
          alignment(g.c),
          static_cast<i64>(precision()),
          kDataType<T>,
          kDataType<Sum>};
}

// What the process holds of cuBLASLt on one GPU.
struct Blas {
  cublasLtHandle_t handle = nullptr;
  cublasHandle_t plain = nullptr;
  std::map<Key, std::optional<cublasLtMatmulAlgo_t>> algorithms;
  Blas() {
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
    check_blas(cublasCreate(&plain), "cublasCreate");
  }
};

// The workspace's size and the alignments bound the choice. Of algorithms that split K those are left out that add the
// parts into C as they come, whose order is not fixed, and those that add them in C's type, which may be bf16.
// Nothing where there is none.
template <class T, class Sum>
std::optional<cublasLtMatmulAlgo_t> find_algorithm(const Gemm<T, Sum>& g, cublasLtHandle_t handle,
                                                   Description& description, Layout& first, Layout& second,
                                                   Layout& out) {
  cublasLtMatmulPreferenceOpaque_t preference;
  check_blas(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check_blas(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value),
               "cublasLtMatmulPreferenceSetAttribute");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspace));
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(g.b));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(g.a));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(g.c));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(g.c));
  cublasLtMatmulHeuristicResult_t best{};
  int count = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, &description.memory, &first.memory, &second.memory, &out.memory,
                                     &out.memory, &preference, 1, &best, &count);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_blas(status, "cublasLtMatmulAlgoGetHeuristic");
  if (status == CUBLAS_STATUS_SUCCESS && count > 0) return best.algo;
  return std::nullopt;
}

// By cuBLAS, which takes every product, but nothing that follows it.
template <class T, class Sum>
void run_plain(const Gemm<T, Sum>& g, cublasHandle_t handle) {
  ops::note_fallback(fmt::format("{}: cuBLASLt has no algorithm for {} products of [{}, {}] and [{}, {}]", op_name(),
                                 g.batch, g.M, g.K, g.K, g.N));
  check_blas(cublasSetStream(handle, stream()), "cublasSetStream");  // another one within a branch
  const float alpha = 1, beta = g.accumulate ? 1.0f : 0.0f;
  check_blas(cublasGemmStridedBatchedEx_64(
                 handle, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, g.N, g.M,
                 g.K, &alpha, g.b, kDataType<T>, g.b_pitch, g.b_stride, g.a, kDataType<T>, g.a_pitch, g.a_stride, &beta,
                 g.c, kDataType<Sum>, g.c_pitch, g.c_stride, g.batch, compute_type<T>(), CUBLAS_GEMM_DEFAULT),
             "cublasGemmStridedBatchedEx");
  if (g.bias || g.relu)
    apply_epilogue<Sum>(g.M, g.N, g.c_pitch, g.bias, nullptr, g.relu ? ops::Activation::kRelu : ops::Activation::kNone,
                        g.c);
}

int current_gpu() {
  int index = 0;
  check(cudaGetDevice(&index), "cudaGetDevice");
  return index;
}

// cuBLASLt takes no empty sum: a column of zeros times a row of zeros stands for it.
template <class T, class Sum>
void gemm_of_nothing(Gemm<T, Sum> g) {
  const Tensor zeros = Tensor::zeros({std::max(g.M, g.N)}, kDTypeOf<T>, {kDevice, current_gpu()});
  g.K = 1;
  g.a = g.b = zeros.device_data<T>();
  g.transpose_a = g.transpose_b = false;
  g.a_pitch = 1;
  g.b_pitch = g.N;
  g.a_stride = g.b_stride = 0;
  gemm(g);
}

template <class T, class Sum>
void run(const Gemm<T, Sum>& g) {
  if (g.batch * g.M * g.N == 0) return;
  if (g.K == 0) return gemm_of_nothing(g);
  Description description(compute_type<T>());
  if (g.transpose_b) description.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (g.transpose_a) description.set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_T);
  if (g.bias) {  // one per column of C, which are the rows of what cuBLASLt calls D
    description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, g.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
    description.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
  } else if (g.relu) {
    description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU);
  }
  // As cuBLASLt sees it: the first factor is B, [N, K] column-major, the second A, [K, M].
  constexpr cudaDataType_t kType = kDataType<T>;
  Layout first(kType, g.transpose_b ? g.K : g.N, g.transpose_b ? g.N : g.K, g.b_pitch, g.batch, g.b_stride),
      second(kType, g.transpose_a ? g.M : g.K, g.transpose_a ? g.K : g.M, g.a_pitch, g.batch, g.a_stride),
      out(kDataType<Sum>, g.N, g.M, g.c_pitch, g.batch, g.c_stride);

  static auto* mutex = new std::mutex;
  static auto* gpus = new std::map<int, Blas>;
  const int index = current_gpu();
  cublasLtHandle_t handle = nullptr;
  cublasHandle_t plain = nullptr;
  std::optional<cublasLtMatmulAlgo_t> algorithm;
  {
    const std::lock_guard lock(*mutex);
    Blas& blas = (*gpus)[index];
    handle = blas.handle;
    plain = blas.plain;
    const Key key = key_of(g);
    auto found = blas.algorithms.find(key);
    if (found == blas.algorithms.end())
      found = blas.algorithms.emplace(key, find_algorithm(g, handle, description, first, second, out)).first;
    algorithm = found->second;
  }
  count_device_launch();
  if (!algorithm) return run_plain(g, plain);
  Tensor workspace = Tensor::empty({static_cast<i64>(kWorkspace)}, DType::kU8, {kDevice, index});
  const float alpha = 1, beta = g.accumulate ? 1.0f : 0.0f;
  check_blas(cublasLtMatmul(handle, &description.memory, &alpha, g.b, &first.memory, g.a, &second.memory, &beta, g.c,
                            &out.memory, g.c, &out.memory, &*algorithm, workspace.raw(), kWorkspace, stream()),
             "cublasLtMatmul");
}

}  // namespace

void gemm(const Gemm<float>& g) {
  run(g);
}
void gemm(const Gemm<BFloat16>& g) {
  run(g);
}
void gemm(const Gemm<BFloat16, float>& g) {
  run(g);
}

}  // namespace tessera::cuda
