// Resizing on the CPU; ops/interpolate.h states the formulas. Rows and columns separate: an output row is first blended
// from two whole input rows (a vector loop over W * C contiguous values), then its pixels from two pixels of that
// blend. The backward does the same with the transposed lists: which output positions read an input position, with what
// weight. Threads own rows of the result.
#include "ops/interpolate.h"

#include <algorithm>
#include <vector>

#include "ops/scalar/interpolate.h"

namespace tessera::ops {

namespace {

template <class T>
using Weights = scalar::ResizeWeights<T, i64>;

// What the output positions of an axis read.
template <class T>
std::vector<Weights<T>> weights_of(const scalar::ResizeAxis& axis) {
  std::vector<Weights<T>> result;
  for (i64 o = 0; o < axis.out; ++o) result.push_back(axis.weights<T, i64>(o));
  return result;
}

// Transposed: input position i is read by readers[begin[i]] ... readers[begin[i + 1] - 1], in ascending order.
template <class T>
struct Readers {
  struct Reader {
    i64 output;
    T weight;
  };
  Readers(const std::vector<Weights<T>>& outputs, i64 in) : begin(in + 1) {
    const auto each = [&](auto&& visit) {
      for (size_t o = 0; o < outputs.size(); ++o) {
        visit(outputs[o].first, static_cast<i64>(o), outputs[o].first_weight);
        if (outputs[o].second_weight > 0) visit(outputs[o].second, static_cast<i64>(o), outputs[o].second_weight);
      }
    };
    each([&](i64 i, i64, T) { ++begin[i + 1]; });
    for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    readers.resize(begin.back());
    std::vector<size_t> next = begin;
    each([&](i64 i, i64 o, T weight) { readers[next[i]++] = {o, weight}; });
  }
  std::vector<size_t> begin;
  std::vector<Reader> readers;
};

bool worth_threads(const Tensor& a, const Tensor& b) {
  return std::max(a.numel(), b.numel()) > 1 << 15;
}

// One channel gets its own instance: without it the loop over c would cost more than its body. pitch: values from one
// pixel of y to the next.
template <bool kOneChannel, class T>
void nearest_row(const T* source, const std::vector<Weights<T>>& columns, i64 channels, i64 pitch, T* y) {
  const i64 C = kOneChannel ? 1 : channels;
  for (const Weights<T>& weights : columns) {
    const T* pixel = source + weights.first * C;
    for (i64 c = 0; c < C; ++c) y[c] = pixel[c];
    y += pitch;
  }
}

template <bool kOneChannel, class T>
void bilinear_row(const T* source, const std::vector<Weights<T>>& columns, i64 channels, i64 pitch, T* y) {
  const i64 C = kOneChannel ? 1 : channels;
  for (const Weights<T>& weights : columns) {
    const T *left = source + weights.first * C, *right = source + weights.second * C;
    for (i64 c = 0; c < C; ++c) y[c] = weights.first_weight * left[c] + weights.second_weight * right[c];
    y += pitch;
  }
}

template <class T>
void forward(const Tensor& x_, Interpolation mode, bool align_corners, i64 channel, Tensor& y_) {
  const i64 N = x_.dim(0), H = x_.dim(1), W = x_.dim(2), C = x_.dim(3);
  const i64 height = y_.dim(1), width = y_.dim(2), pitch = y_.dim(3);
  const std::vector<Weights<T>> rows = weights_of<T>({H, height, mode, align_corners});
  const std::vector<Weights<T>> columns = weights_of<T>({W, width, mode, align_corners});
  const T* x = x_.data<T>();
  T* y = y_.data<T>() + channel;
#pragma omp parallel if (worth_threads(x_, y_))
  {
    std::vector<T> blend_(mode == Interpolation::kBilinear ? W * C : 0);
    T* blend = blend_.data();
#pragma omp for schedule(static)
    for (i64 r = 0; r < N * height; ++r) {
      const Weights<T>& weights = rows[r % height];
      const T *top = x + (r / height * H + weights.first) * W * C,
              *bottom = x + (r / height * H + weights.second) * W * C;
      T* out = y + r * width * pitch;
      if (mode == Interpolation::kNearest) {
        C == 1 ? nearest_row<true>(top, columns, C, pitch, out) : nearest_row<false>(top, columns, C, pitch, out);
        continue;
      }
      for (i64 i = 0; i < W * C; ++i) blend[i] = weights.first_weight * top[i] + weights.second_weight * bottom[i];
      C == 1 ? bilinear_row<true>(blend, columns, C, pitch, out) : bilinear_row<false>(blend, columns, C, pitch, out);
    }
  }
}

template <bool kOneChannel, class T>
void gather_row(const T* source, const Readers<T>& columns, i64 channels, T* gx) {
  const i64 C = kOneChannel ? 1 : channels;
  for (size_t w = 0; w + 1 < columns.begin.size(); ++w) {
    for (i64 c = 0; c < C; ++c) gx[c] = 0;
    for (size_t k = columns.begin[w]; k < columns.begin[w + 1]; ++k) {
      const T *pixel = source + columns.readers[k].output * C, weight = columns.readers[k].weight;
      for (i64 c = 0; c < C; ++c) gx[c] += weight * pixel[c];
    }
    gx += C;
  }
}

template <class T>
void backward(const Tensor& gy_, Interpolation mode, bool align_corners, i64 channel, Tensor& gx_) {
  const i64 N = gx_.dim(0), H = gx_.dim(1), W = gx_.dim(2), C = gx_.dim(3);
  const i64 height = gy_.dim(1), width = gy_.dim(2), pitch = gy_.dim(3);
  const i64 run = pitch == C ? width * C : C;  // values of gy that lie together
  const Readers<T> rows(weights_of<T>({H, height, mode, align_corners}), H),
      columns(weights_of<T>({W, width, mode, align_corners}), W);
  const T* gy = gy_.data<T>() + channel;
  T* gx = gx_.data<T>();
#pragma omp parallel if (worth_threads(gy_, gx_))
  {
    std::vector<T> sum_(width * C);
    T* sum = sum_.data();
#pragma omp for schedule(static)
    for (i64 r = 0; r < N * H; ++r) {
      const i64 h = r % H;
      std::fill(sum_.begin(), sum_.end(), T(0));
      for (size_t k = rows.begin[h]; k < rows.begin[h + 1]; ++k) {
        const T* row = gy + (r / H * height + rows.readers[k].output) * width * pitch;
        const T weight = rows.readers[k].weight;
        for (i64 i = 0; i < width * C; i += run, row += pitch)
          for (i64 c = 0; c < run; ++c) sum[i + c] += weight * row[c];
      }
      T* out = gx + r * W * C;
      C == 1 ? gather_row<true>(sum, columns, C, out) : gather_row<false>(sum, columns, C, out);
    }
  }
}

void interpolate_cpu(const Tensor& x, Interpolation mode, bool align_corners, i64 channel, Tensor& y) {
  dispatch_float(x.dtype(), "interpolate", [&]<class T>() { forward<T>(x, mode, align_corners, channel, y); });
}

void interpolate_backward_cpu(const Tensor& gy, Interpolation mode, bool align_corners, i64 channel, Tensor& gx) {
  dispatch_float(gy.dtype(), "interpolate_backward",
                 [&]<class T>() { backward<T>(gy, mode, align_corners, channel, gx); });
}

const bool kAdded = interpolate_kernels.add(DeviceKind::kCpu, interpolate_cpu) &&
                    interpolate_backward_kernels.add(DeviceKind::kCpu, interpolate_backward_cpu);

}  // namespace

}  // namespace tessera::ops
