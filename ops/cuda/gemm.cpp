// gemm() by cuBLASLt. Its matrices are column-major: a row-major [M, N] with pitch p is its [N, M] with leading
// dimension p, so C^T = B^T A^T is asked for, and no matrix is moved. Heuristics are asked once per shape and kept.
#include "ops/cuda/gemm.h"

#include <cublasLt.h>

#include <map>
#include <mutex>
#include <tuple>

#include "ops/precision.h"
#include "tensor/allocator.h"
#include "tensor/cuda/runtime.h"
#include "tensor/error.h"
#include "tensor/tensor.h"

namespace tessera::cuda {

namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // bytes that an algorithm may use, as NVIDIA recommends for Hopper

void check_blas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail("cuda: {}: {} failed: {}", OpScope::current() ? OpScope::current() : "gemm", call,
       cublasLtGetStatusString(status));
}

cublasLtHandle_t handle() {
  static const cublasLtHandle_t instance = [] {
    cublasLtHandle_t created = nullptr;
    check_blas(cublasLtCreate(&created), "cublasLtCreate");
    return created;
  }();
  return instance;
}

// Descriptions that cuBLASLt wants on the heap, freed with the object.
struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  Layout(i64 rows, i64 columns, i64 pitch, i64 batch, i64 stride) {
    check_blas(cublasLtMatrixLayoutCreate(&handle, CUDA_R_32F, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), pitch),
               "cublasLtMatrixLayoutCreate");
    const auto count = static_cast<int32_t>(batch);
    check_blas(cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
               "batch");
    check_blas(
        cublasLtMatrixLayoutSetAttribute(handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
        "batch");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(handle); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
};

struct Description {
  cublasLtMatmulDesc_t handle = nullptr;
  explicit Description(cublasComputeType_t compute) {
    check_blas(cublasLtMatmulDescCreate(&handle, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  }
  ~Description() { cublasLtMatmulDescDestroy(handle); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulDescSetAttribute(handle, attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
  }
};

cublasComputeType_t compute_type() {
  switch (precision()) {
    case Precision::kHigh:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::kMedium:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
    default:
      return CUBLAS_COMPUTE_32F;
  }
}

// What the best algorithm depends on.
using Key = std::tuple<i64, i64, i64, i64, i64, i64, i64, bool, bool, bool, bool, bool, Precision>;

std::mutex& algorithms_mutex() {
  static std::mutex* instance = new std::mutex;
  return *instance;
}

cublasLtMatmulAlgo_t find_algorithm(const Key& key, const Description& description, const Layout& a, const Layout& b,
                                    const Layout& c) {
  static auto* known = new std::map<Key, cublasLtMatmulAlgo_t>;
  const std::lock_guard lock(algorithms_mutex());
  if (const auto found = known->find(key); found != known->end()) return found->second;
  cublasLtMatmulPreference_t preference = nullptr;
  check_blas(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  check_blas(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                                                  sizeof kWorkspace),
             "workspace");
  cublasLtMatmulHeuristicResult_t best{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle(), description.handle, a.handle, b.handle,
                                                               c.handle, c.handle, preference, 1, &best, &count);
  cublasLtMatmulPreferenceDestroy(preference);
  check_blas(status, "cublasLtMatmulAlgoGetHeuristic");
  TESSERA_CHECK(count > 0, "cuda: {}: cuBLASLt knows no algorithm for this product",
                OpScope::current() ? OpScope::current() : "gemm");
  return (*known)[key] = best.algo;
}

}  // namespace

void gemm(const Gemm& g) {
  if (g.batch * g.M * g.N == 0) return;
  Description description(compute_type());
  description.set(CUBLASLT_MATMUL_DESC_TRANSA, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  description.set(CUBLASLT_MATMUL_DESC_TRANSB, g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (g.bias) {
    description.set(CUBLASLT_MATMUL_DESC_EPILOGUE, g.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS);
    description.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
  }
  // As cuBLAS sees it: the first factor is B, [N, K] column-major, the second A, [K, M].
  const Layout first(g.transpose_b ? g.K : g.N, g.transpose_b ? g.N : g.K, g.b_pitch, g.batch, g.b_stride);
  const Layout second(g.transpose_a ? g.M : g.K, g.transpose_a ? g.K : g.M, g.a_pitch, g.batch, g.a_stride);
  const Layout out(g.N, g.M, g.c_pitch, g.batch, g.c_stride);
  const Key key{g.batch,           g.M,       g.N,           g.K,           g.a_pitch,
                g.b_pitch,         g.c_pitch, g.transpose_a, g.transpose_b, g.accumulate,
                g.bias != nullptr, g.relu,    precision()};
  const cublasLtMatmulAlgo_t algorithm = find_algorithm(key, description, first, second, out);
  int index = 0;
  check(cudaGetDevice(&index), "cudaGetDevice");
  Tensor workspace = Tensor::empty({static_cast<i64>(kWorkspace)}, DType::kU8, {kDevice, index});
  const float alpha = 1, beta = g.accumulate ? 1.0f : 0.0f;
  check_blas(cublasLtMatmul(handle(), description.handle, &alpha, g.b, first.handle, g.a, second.handle, &beta, g.c,
                            out.handle, g.c, out.handle, &algorithm, workspace.raw(), kWorkspace, stream()),
             "cublasLtMatmul");
}

}  // namespace tessera::cuda
