// Layer normalisation in CUDA, formulas in ops/layer_norm.h. One warp has a row, a lane every 32nd piece of 16 bytes
// or of one value: the passes over the row (mean, squares about it, result) read it from memory once and then from the
// cache. The gradients of weight and bias are sums down the columns (ops/cuda/columns.h), whose chunks one warp per
// channel adds up in double. Memory limits all of it.
#include "ops/cuda/columns.h"
#include "ops/layer_norm.h"
#include "ops/scalar/norm.h"

namespace tessera {

namespace {

using namespace cuda;

template <class T, int kWidth>
__global__ void layer_norm_kernel(i64 rows, i64 C, const T* __restrict__ x, const float* weight, const float* bias,
                                  double eps, float* mean, float* rstd, T* __restrict__ y) {
  const i64 row = row_of_warp();
  if (row >= rows) return;
  const T* values = x + row * C;
  float sum = 0, squares = 0;
#pragma unroll 2
  for (i64 c = lane() * kWidth; c < C; c += kWarp * kWidth) {
    const auto piece = Channels<kWidth>::load(values + c);
    for (int j = 0; j < kWidth; ++j) sum += piece.value[j];
  }
  const float centre = warp_sum(sum) / static_cast<float>(C);
#pragma unroll 2
  for (i64 c = lane() * kWidth; c < C; c += kWarp * kWidth) {
    const auto piece = Channels<kWidth>::load(values + c);
    for (int j = 0; j < kWidth; ++j) squares += (piece.value[j] - centre) * (piece.value[j] - centre);
  }
  const double variance = warp_sum(squares) / static_cast<float>(C);
  const float rate = static_cast<float>(1 / std::sqrt(variance + eps));
#pragma unroll 2
  for (i64 c = lane() * kWidth; c < C; c += kWarp * kWidth) {
    auto piece = Channels<kWidth>::load(values + c);
    const auto w = load_or<kWidth>(weight, c, 1), b = load_or<kWidth>(bias, c, 0);
    for (int j = 0; j < kWidth; ++j)
      piece.value[j] = scalar::normalised(piece.value[j], centre, rate, w.value[j], b.value[j]);
    piece.store(y + row * C + c);
  }
  if (lane() != 0) return;
  mean[row] = centre;
  rstd[row] = rate;
}

template <class T, int kWidth>
__global__ void layer_norm_backward_kernel(i64 rows, i64 C, const T* __restrict__ gy, const T* __restrict__ x,
                                           const float* weight, const float* mean, const float* rstd,
                                           T* __restrict__ gx) {
  const i64 row = row_of_warp();
  if (row >= rows) return;
  const float centre = mean[row], rate = rstd[row];
  float sum = 0, product = 0;
#pragma unroll 2
  for (i64 c = lane() * kWidth; c < C; c += kWarp * kWidth) {
    const auto gradient = Channels<kWidth>::load(gy + row * C + c), piece = Channels<kWidth>::load(x + row * C + c);
    const auto w = load_or<kWidth>(weight, c, 1);
    for (int j = 0; j < kWidth; ++j) {
      const float g = gradient.value[j] * w.value[j];
      sum += g;
      product += g * (piece.value[j] - centre) * rate;
    }
  }
  const float share = warp_sum(sum) / static_cast<float>(C), slope = warp_sum(product) / static_cast<float>(C);
#pragma unroll 2
  for (i64 c = lane() * kWidth; c < C; c += kWarp * kWidth) {
    auto gradient = Channels<kWidth>::load(gy + row * C + c);
    const auto piece = Channels<kWidth>::load(x + row * C + c);
    const auto w = load_or<kWidth>(weight, c, 1);
    for (int j = 0; j < kWidth; ++j)
      gradient.value[j] = rate * (gradient.value[j] * w.value[j] - share - (piece.value[j] - centre) * rate * slope);
    gradient.store(gx + row * C + c);
  }
}

// sum gy xhat and sum gy.
template <class T, int kWidth>
struct WeightSums {
  static constexpr int kSums = 2;
  const T *gy, *x;
  const float *mean, *rstd;

  __device__ void begin(const Columns&, const ColumnShare&) {}
  __device__ ChannelPair<kWidth> read(i64, i64 at) const {
    return {Channels<kWidth>::load(gy + at), Channels<kWidth>::load(x + at)};
  }
  __device__ void add(i64 row, const ChannelPair<kWidth>& pair, Channels<kWidth> (&sums)[kSums]) const {
    const auto& [gradient, values] = pair;
    const float centre = mean[row], rate = rstd[row];
    for (int j = 0; j < kWidth; ++j) {
      sums[0].value[j] += gradient.value[j] * (values.value[j] - centre) * rate;
      sums[1].value[j] += gradient.value[j];
    }
  }
};

// One warp per channel.
__global__ void weight_gradients_kernel(i64 C, i64 chunks, const float* parts, float* gweight, float* gbias) {
  const i64 c = blockIdx.x;
  double product = 0, sum = 0;
  for (i64 k = lane(); k < chunks; k += kWarp) {
    product += parts[c * chunks + k];
    sum += parts[(C + c) * chunks + k];
  }
  product = warp_sum(product);
  sum = warp_sum(sum);
  if (lane() != 0) return;
  gweight[c] = static_cast<float>(product);
  gbias[c] = static_cast<float>(sum);
}

void layer_norm_cuda(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& mean, Tensor& rstd,
                     Tensor& y) {
  const i64 C = x.dim(-1), rows = mean.numel();
  if (C == 0) {  // rows of nothing
    mean.fill(0);
    rstd.fill(0);
    return;
  }
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_pieces<T>(C, {from, to}, [&]<int kWidth>() {
      launch<layer_norm_kernel<T, kWidth>>(warp_per_row(rows), rows, C, from, data_or_null(weight), data_or_null(bias),
                                           eps, mean.device_data<float>(), rstd.device_data<float>(), to);
    });
  });
}

void layer_norm_backward_cuda(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                              const Tensor& rstd, Tensor& gweight, Tensor& gbias, Tensor& gx) {
  const i64 C = x.dim(-1), rows = mean.numel();
  const float *centres = mean.device_data<float>(), *rates = rstd.device_data<float>();
  dispatch_storage(x, [&]<class T>() {
    const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
    dispatch_pieces<T>(C, {gradient, values, gx.raw()}, [&]<int kWidth>() {
      launch<layer_norm_backward_kernel<T, kWidth>>(warp_per_row(rows), rows, C, gradient, values, data_or_null(weight),
                                                    centres, rates, gx.device_data<T>());
      const Columns d(1, rows, C, kWidth);
      Tensor parts = d.parts(2, x.device());
      launch<column_sums_kernel<kWidth, WeightSums<T, kWidth>>>(
          d.launch(), d, WeightSums<T, kWidth>{gradient, values, centres, rates}, parts.device_data<float>());
      launch<weight_gradients_kernel>(Launch{.grid = static_cast<unsigned>(C), .block = kWarp}, C, d.chunks,
                                      parts.device_data<float>(), gweight.device_data<float>(),
                                      gbias.device_data<float>());
    });
  });
}

[[maybe_unused]] const bool kAdded[] = {
    ops::layer_norm_kernels.add(kDevice, layer_norm_cuda),
    ops::layer_norm_backward_kernels.add(kDevice, layer_norm_backward_cuda),
};

}  // namespace

}  // namespace tessera
