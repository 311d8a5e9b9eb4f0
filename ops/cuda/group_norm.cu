// Group normalisation in CUDA, formulas in ops/group_norm.h. Sums are taken down the columns first
// (ops/cuda/columns.h), per channel and chunk of rows; one block per sample and group then joins the channels and
// chunks of the group, in double; with the sums known, y and gx are a line per channel. x is read twice and y written
// once, backward gy and x are read twice and gx written once: memory limits all of it.
//
// Moments: a thread sums d and d^2 about the first value that it sees, d = x - x_first, in one pass. As x_first is one
// of the n values, sum d^2 is at most n times the squares about the mean, and n is small: little is lost when
// (sum d)^2 / n is taken off. Threads, chunks and channels are joined about their common mean.
#include "ops/cuda/columns.h"
#include "ops/cuda/group_norm.h"
#include "ops/scalar/norm.h"

namespace tessera {

namespace cuda {

namespace {

using ops::GroupNormDims;

// parts [2, N, C, chunks]: the mean of each channel of a chunk, and the squares about it.
template <class T, int kWidth>
__global__ void column_moments_kernel(Columns d, const T* __restrict__ x, float* parts) {
  auto& scratch = shared_memory<ColumnScratch<kWidth, 2>>();
  const ColumnShare share = column_share<kWidth>(d);
  Channels<kWidth> moments[2] = {Channels<kWidth>::zero(), Channels<kWidth>::zero()};
  if (share.c < d.C && share.begin < share.end) {
    const T* column = x + share.sample * d.rows * d.C + share.c;
    const auto first = Channels<kWidth>::load(column + share.begin * d.C);
    Channels<kWidth> sum = Channels<kWidth>::zero(), squares = Channels<kWidth>::zero();
    constexpr int kReads = kWidth == 8 ? 2 : 4;  // more would leave few warps
    read_ahead<kReads>(
        share.begin, share.end, share.step, [&](i64 row) { return Channels<kWidth>::load(column + row * d.C); },
        [&](i64, const Channels<kWidth>& values) {
          for (int j = 0; j < kWidth; ++j) {
            const float distance = values.value[j] - first.value[j];
            sum.value[j] += distance;
            squares.value[j] += distance * distance;
          }
        });
    const float share_of_one = 1.0f / static_cast<float>(ceil_div(share.end - share.begin, share.step));
    for (int j = 0; j < kWidth; ++j) {
      moments[0].value[j] = first.value[j] + sum.value[j] * share_of_one;
      moments[1].value[j] = squares.value[j] - sum.value[j] * sum.value[j] * share_of_one;
    }
  }
  scratch.put(moments);
  __syncthreads();
  for_each_column<kWidth>(d, [&](int j, int lane, i64 c) {
    const float *means = scratch.values[0][j], *squares = scratch.values[1][j];
    const int rows = static_cast<int>(share.end - share.chunk * d.chunk);
    const auto count = [&](int t) {  // rows of thread t
      const int begin = t / d.lanes;
      return static_cast<float>(begin < rows ? (rows - begin + share.step - 1) / share.step : 0);
    };
    float mean = 0, about = 0;
    for (int t = lane; t < Columns::kThreads; t += d.lanes) mean += count(t) * means[t];
    mean /= static_cast<float>(rows);
    for (int t = lane; t < Columns::kThreads; t += d.lanes)
      about += squares[t] + count(t) * (means[t] - mean) * (means[t] - mean);
    const i64 at = (share.sample * d.C + c) * d.chunks + share.chunk;
    parts[at] = mean;
    parts[d.samples * d.C * d.chunks + at] = about;
  });
}

// One block per (n, g).
__global__ void group_moments_kernel(GroupNormDims dims, Columns d, const float* parts, double eps, float* mean,
                                     float* rstd, float* variance) {
  const i64 n = blockIdx.x / dims.G, g = blockIdx.x % dims.G, items = dims.C / dims.G * d.chunks;
  const float* means = parts + (n * dims.C + g * (dims.C / dims.G)) * d.chunks;
  const float* squares = means + dims.N * dims.C * d.chunks;
  const auto rows = [&](i64 item) {
    const i64 begin = item % d.chunks * d.chunk;
    return static_cast<double>(begin + d.chunk < d.rows ? d.chunk : d.rows - begin);
  };
  const double count = static_cast<double>(dims.P * (dims.C / dims.G));
  double centre = 0, about = 0;
  for (i64 i = threadIdx.x; i < items; i += blockDim.x) centre += rows(i) * means[i];
  centre = block_sum(centre) / count;
  for (i64 i = threadIdx.x; i < items; i += blockDim.x)
    about += squares[i] + rows(i) * (means[i] - centre) * (means[i] - centre);
  about = block_sum(about) / count;
  if (threadIdx.x != 0) return;
  mean[blockIdx.x] = static_cast<float>(centre);
  rstd[blockIdx.x] = static_cast<float>(1 / std::sqrt(about + eps));
  if (variance) variance[blockIdx.x] = static_cast<float>(about);
}

// The values of a thread's channels of one per group, [N, G].
struct Groups {
  explicit Groups(const GroupNormDims& dims) : G(dims.G), channels(dims.C / dims.G) {}
  template <int kWidth>
  __device__ Channels<kWidth> of(const float* values, const ColumnShare& share) const {
    Channels<kWidth> result;
    for (u32 j = 0; j < kWidth; ++j)
      result.value[j] = values[share.sample * G + (static_cast<u32>(share.c) + j) / channels];
    return result;
  }
  i64 G;
  Divider channels;
};

template <class T, int kWidth>
__global__ void normalise_kernel(Groups groups, Columns d, const T* __restrict__ x, const float* weight,
                                 const float* bias, const float* mean, const float* rstd, T* __restrict__ y) {
  const ColumnShare share = column_share<kWidth>(d);
  if (share.c >= d.C) return;
  const auto centre = groups.of<kWidth>(mean, share);
  const auto shift = load_or<kWidth>(bias, share.c, 0);
  const auto w = load_or<kWidth>(weight, share.c, 1);
  auto scale = groups.of<kWidth>(rstd, share);
  for (int j = 0; j < kWidth; ++j) scale.value[j] *= w.value[j];
  const i64 first = share.sample * d.rows * d.C + share.c;
  read_ahead<4>(
      share.begin, share.end, share.step, [&](i64 row) { return Channels<kWidth>::load(x + first + row * d.C); },
      [&](i64 row, Channels<kWidth> values) {
        for (int j = 0; j < kWidth; ++j)
          values.value[j] = scalar::normalised(values.value[j], centre.value[j], scale.value[j], shift.value[j]);
        values.store(y + first + row * d.C);
      });
}

// sum gy and sum gy (x - mean).
template <class T, int kWidth>
struct GradientSums {
  static constexpr int kSums = 2;
  Groups groups;
  const T *gy, *x;
  const float* mean;
  Channels<kWidth> centre = {};

  __device__ void begin(const Columns& d, const ColumnShare& share) {
    centre = groups.of<kWidth>(mean, share);
    gy += share.sample * d.rows * d.C;
    x += share.sample * d.rows * d.C;
  }
  __device__ ChannelPair<kWidth> read(i64, i64 at) const {
    return {Channels<kWidth>::load(gy + at), Channels<kWidth>::load(x + at)};
  }
  __device__ void add(i64, const ChannelPair<kWidth>& pair, Channels<kWidth> (&sums)[kSums]) const {
    const auto& [gradient, values] = pair;
    for (int j = 0; j < kWidth; ++j) {
      sums[0].value[j] += gradient.value[j];
      sums[1].value[j] += gradient.value[j] * (values.value[j] - centre.value[j]);
    }
  }
};

// One warp per channel: the sums over samples and chunks.
__global__ void channel_gradients_kernel(GroupNormDims dims, Columns d, const float* parts, const float* rstd,
                                         float* gweight, float* gbias) {
  const i64 c = blockIdx.x, g = c / (dims.C / dims.G);
  double sum = 0, product = 0;
  for (i64 i = lane(); i < dims.N * d.chunks; i += kWarp) {
    const i64 n = i / d.chunks, at = (n * dims.C + c) * d.chunks + i % d.chunks;
    sum += parts[at];
    product += static_cast<double>(parts[dims.N * dims.C * d.chunks + at]) * rstd[n * dims.G + g];
  }
  sum = warp_sum(sum);
  product = warp_sum(product);
  if (lane() != 0) return;
  gbias[c] = static_cast<float>(sum);
  gweight[c] = static_cast<float>(product);
}

// One block per (n, g): gx = rstd weight gy - shift - (x - mean) slope.
__global__ void group_gradients_kernel(GroupNormDims dims, Columns d, const float* parts, const float* weight,
                                       const float* rstd, float* shift, float* slope) {
  const i64 n = blockIdx.x / dims.G, g = blockIdx.x % dims.G, group = dims.C / dims.G, items = group * d.chunks;
  const float* sums = parts + (n * dims.C + g * group) * d.chunks;
  const float* products = sums + dims.N * dims.C * d.chunks;
  double sum = 0, product = 0;
  for (i64 i = threadIdx.x; i < items; i += blockDim.x) {
    const double w = weight ? weight[g * group + i / d.chunks] : 1.0f;
    sum += w * sums[i];
    product += w * products[i];
  }
  sum = block_sum(sum);
  product = block_sum(product);
  if (threadIdx.x != 0) return;
  const double rate = rstd[blockIdx.x], count = static_cast<double>(dims.P * group);
  shift[blockIdx.x] = static_cast<float>(rate * sum / count);
  slope[blockIdx.x] = static_cast<float>(rate * rate * rate * product / count);
}

template <class T, int kWidth>
__global__ void input_gradient_kernel(Groups groups, Columns d, const T* __restrict__ gy, const T* __restrict__ x,
                                      const float* weight, const float* mean, const float* rstd, const float* shifts,
                                      const float* slopes, T* __restrict__ gx) {
  const ColumnShare share = column_share<kWidth>(d);
  if (share.c >= d.C) return;
  const auto centre = groups.of<kWidth>(mean, share), shift = groups.of<kWidth>(shifts, share),
             slope = groups.of<kWidth>(slopes, share);
  const auto w = load_or<kWidth>(weight, share.c, 1);
  auto scale = groups.of<kWidth>(rstd, share);
  for (int j = 0; j < kWidth; ++j) scale.value[j] *= w.value[j];
  const i64 first = share.sample * d.rows * d.C + share.c;
  read_ahead<2>(
      share.begin, share.end, share.step,
      [&](i64 row) {
        const i64 at = first + row * d.C;
        return ChannelPair<kWidth>{Channels<kWidth>::load(gy + at), Channels<kWidth>::load(x + at)};
      },
      [&](i64 row, ChannelPair<kWidth> pair) {
        auto& [gradient, values] = pair;
        for (int j = 0; j < kWidth; ++j)
          gradient.value[j] = scalar::normalised_gradient(gradient.value[j], values.value[j], centre.value[j],
                                                          scale.value[j], shift.value[j], slope.value[j]);
        gradient.store(gx + first + row * d.C);
      });
}

// One block per (n, g), of one warp where its channels and chunks are few.
Launch over_groups(const GroupNormDims& dims, const Columns& d) {
  return {.grid = static_cast<unsigned>(dims.N * dims.G), .block = dims.group() * d.chunks > 2048 ? 256u : 32u};
}

}  // namespace

void group_moments(const GroupNormDims& dims, const Tensor& x, double eps, float* mean, float* rstd, float* variance) {
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    dispatch_pieces<T>(dims.C, {from}, [&]<int kWidth>() {
      const Columns d(dims.N, dims.P, dims.C, kWidth);
      Tensor parts = d.parts(2, x.device());
      launch<column_moments_kernel<T, kWidth>>(d.launch(), d, from, parts.device_data<float>());
      launch<group_moments_kernel>(over_groups(dims, d), dims, d, parts.device_data<float>(), eps, mean, rstd,
                                   variance);
    });
  });
}

void normalise(const GroupNormDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
               const Tensor& rstd, Tensor& y) {
  dispatch_storage(x, [&]<class T>() {
    const T* from = x.device_data<T>();
    T* to = y.device_data<T>();
    dispatch_pieces<T>(dims.C, {from, to}, [&]<int kWidth>() {
      const Columns d(dims.N, dims.P, dims.C, kWidth);
      launch<normalise_kernel<T, kWidth>>(d.launch(), Groups(dims), d, from, data_or_null(weight), data_or_null(bias),
                                          mean.device_data<float>(), rstd.device_data<float>(), to);
    });
  });
}

void group_norm_gradients(const GroupNormDims& dims, const Tensor& gy, const Tensor& x, const Tensor& weight,
                          const Tensor& mean, const Tensor& rstd, Tensor& gweight, Tensor& gbias, Tensor& gx) {
  const float *w = data_or_null(weight), *centre = mean.device_data<float>(), *rate = rstd.device_data<float>();
  dispatch_storage(x, [&]<class T>() {
    const T *gradient = gy.device_data<T>(), *values = x.device_data<T>();
    dispatch_pieces<T>(dims.C, {gradient, values, gx.raw()}, [&]<int kWidth>() {
      const Columns d(dims.N, dims.P, dims.C, kWidth);
      Tensor parts = d.parts(2, x.device());
      const float* sums = parts.device_data<float>();
      launch<column_sums_kernel<kWidth, GradientSums<T, kWidth>>>(
          d.launch(), d, GradientSums<T, kWidth>{Groups(dims), gradient, values, centre}, parts.device_data<float>());
      launch<channel_gradients_kernel>(Launch{.grid = static_cast<unsigned>(dims.C), .block = kWarp}, dims, d, sums,
                                       rate, gweight.device_data<float>(), gbias.device_data<float>());
      if (!gx.defined()) return;
      Tensor shift = Tensor::empty({dims.N, dims.G}, DType::kF32, x.device()),
             slope = Tensor::empty({dims.N, dims.G}, DType::kF32, x.device());
      launch<group_gradients_kernel>(over_groups(dims, d), dims, d, sums, w, rate, shift.device_data<float>(),
                                     slope.device_data<float>());
      launch<input_gradient_kernel<T, kWidth>>(d.launch(), Groups(dims), d, gradient, values, w, centre, rate,
                                               shift.device_data<float>(), slope.device_data<float>(),
                                               gx.device_data<T>());
    });
  });
}

}  // namespace cuda

namespace {

using namespace cuda;

void group_norm_cuda(const ops::GroupNormDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     double eps, Tensor& mean, Tensor& rstd, Tensor& y) {
  group_moments(dims, x, eps, mean.device_data<float>(), rstd.device_data<float>(), nullptr);
  normalise(dims, x, weight, bias, mean, rstd, y);
}

[[maybe_unused]] const bool kAdded[] = {
    ops::group_norm_kernels.add(kDevice, group_norm_cuda),
    ops::group_norm_backward_kernels.add(kDevice, group_norm_gradients),
};

}  // namespace

}  // namespace tessera
