// Sorting and top-k in CUDA: each number becomes a key that holds its order and its position, ops/cuda/sort_keys.h
// sorts the keys, and the values are fetched by position. One thread per element; NaN stands in top_k where it does in
// a descending sort, because the values are not looked at on the host.
#include "ops/arrange.h"
#include "ops/cuda/sort_keys.h"
#include "ops/sort.h"

namespace tessera {

namespace {

using namespace cuda;

__global__ void make_keys_kernel(i64 numel, i64 n, bool descending, const float* x, u64* keys) {
  for (const i64 at : indices(numel)) keys[at] = make_key(scalar::sort_key(x[at], descending), at % n);
}

// keys [R, pitch] -> values and where [R, k], x [R, n]
__global__ void fetch_kernel(i64 numel, i64 k, i64 pitch, i64 n, const u64* keys, const float* x, float* values,
                             i64* where) {
  for (const i64 at : indices(numel)) {
    const i64 row = at / k, position = position_of(keys[row * pitch + at % k]);
    values[at] = x[row * n + position];
    where[at] = position;
  }
}

void sort_rows(const char* op, const Tensor& x, bool descending, Tensor& values, Tensor& where) {
  const i64 n = x.dim(-1), k = values.dim(-1), numel = x.numel();
  if (values.numel() == 0) return;
  TESSERA_CHECK(n < kMaxPositions, "{}: rows of {} numbers are too long", op, n);
  Tensor keys = Tensor::empty({numel / n, n}, DType::kI64, x.device());
  launch<make_keys_kernel>(over(numel), numel, n, descending, x.device_data<float>(), keys_of(keys));
  Tensor sorted = sort_keys(std::move(keys), k);
  launch<fetch_kernel>(over(values.numel()), values.numel(), k, sorted.dim(1), n, keys_of(sorted),
                       x.device_data<float>(), values.device_data<float>(), where.device_data<i64>());
}

void sort_cuda(const Tensor& x, bool descending, Tensor& values, Tensor& where) {
  sort_rows("sort", x, descending, values, where);
}

void top_k_cuda(const Tensor& x, Tensor& values, Tensor& where) {
  sort_rows("top_k", x, true, values, where);
}

// gx is zero before; a position outside the row gets no gradient.
__global__ void top_k_backward_kernel(i64 numel, i64 k, i64 n, const float* gy, const i64* where, float* gx) {
  for (const i64 at : indices(numel))
    if (0 <= where[at] && where[at] < n) gx[at / k * n + where[at]] = gy[at];
}

void top_k_backward_cuda(const Tensor& gy, const Tensor& where, Tensor& gx) {
  launch<top_k_backward_kernel>(over(gy.numel()), gy.numel(), gy.dim(-1), gx.dim(-1), gy.device_data<float>(),
                                where.device_data<i64>(), gx.device_data<float>());
}

[[maybe_unused]] const bool kAdded[] = {
    ops::sort_kernels.add(kDevice, sort_cuda),
    ops::top_k_kernels.add(kDevice, top_k_cuda),
    ops::top_k_backward_kernels.add(kDevice, top_k_backward_cuda),
};

}  // namespace

}  // namespace tessera
