// Deformable convolution on the CPU: a matrix product whose patches are sampled, block by block, right before use.
//
//   forward   y = columns w^T        columns [pixels, T x I] are blended into the scratch rows of one block of pixels
//   weight    gw = gy^T columns      columns are blended straight into the packed panels
//   the rest  gcolumns = gy w        for a strip of pixels; then, per sample, four dot products give the gradients of
//             offset and mask, and four scaled additions that of x. Threads share the strip by pixels for the former
//             and by channels for the latter: every sum has a fixed order, whatever the number of threads.
#include "ops/deform_conv2d.h"

#include <cmath>
#include <vector>

#include "ops/cpu/gemm.h"
#include "ops/cpu/simd/bilinear.h"

namespace tessera::ops {
namespace {

template <class T>
const BilinearKernels<T>& bilinear_kernels() {
  static const BilinearKernels<T> kernels = [] {
    BilinearKernels<T> result;
    bilinear_kernels_table.get<T>()(result);
    return result;
  }();
  return kernels;
}

// One bilinear sample. Corners in the order (top left), (top right), (bottom left), (bottom right).
template <class T>
struct Sample {
  i64 corner[4];  // element where the pixel begins in x, or -1: outside
  T weight[4];    // bilinear weights
  T down, right;  // the fractions: how far below and right of the top left corner
  T mask;
};

template <class T>
struct Sampler {
  DeformConv2dDims dims;
  const T *x, *offset, *mask;
  Tensor zero_pixel;  // what the corners outside read

  Sampler(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask)
      : dims(dims),
        x(x.data<T>()),
        offset(offset.data<T>()),
        mask(mask.defined() ? mask.data<T>() : nullptr),
        zero_pixel(Tensor::zeros({dims.conv.Ci}, x.dtype())) {}

  Sample<T> at(i64 pixel, i64 offset_group, i64 tap) const {
    const Conv2dDims& conv = dims.conv;
    const i64 n = pixel / (conv.Ho * conv.Wo), oh = pixel / conv.Wo % conv.Ho, ow = pixel % conv.Wo;
    const i64 entry = (pixel * dims.offset_groups + offset_group) * dims.taps() + tap;
    const T h = static_cast<T>(oh * conv.stride - conv.padding + tap / conv.Kw * conv.dilation) + offset[2 * entry];
    const T w = static_cast<T>(ow * conv.stride - conv.padding + tap % conv.Kw * conv.dilation) + offset[2 * entry + 1];
    Sample<T> sample{
        .corner = {-1, -1, -1, -1}, .weight = {}, .down = 0, .right = 0, .mask = mask ? mask[entry] : T(1)};
    if (!(h >= -1 && h < static_cast<T>(conv.H) && w >= -1 && w < static_cast<T>(conv.W)))
      return sample;  // NaN: outside
    const T top = std::floor(h), left = std::floor(w);
    sample.down = h - top;
    sample.right = w - left;
    for (int k = 0; k < 4; ++k) {
      const i64 row = static_cast<i64>(top) + k / 2, column = static_cast<i64>(left) + k % 2;
      if (row < 0 || row >= conv.H || column < 0 || column >= conv.W) continue;
      sample.corner[k] = ((n * conv.H + row) * conv.W + column) * conv.Ci;
      sample.weight[k] = (k / 2 ? sample.down : 1 - sample.down) * (k % 2 ? sample.right : 1 - sample.right);
    }
    return sample;
  }

  // The four pixels from channel c on.
  void corners(const Sample<T>& sample, i64 c, const T* pointers[4]) const {
    for (int k = 0; k < 4; ++k)
      pointers[k] = sample.corner[k] < 0 ? zero_pixel.template data<T>() : x + sample.corner[k] + c;
  }

  // out = the sampled, masked values of channels [c, c + count) at one tap; they may lie in several offset groups.
  void blend(i64 pixel, i64 tap, i64 c, i64 count, T* out) const {
    const i64 shared = dims.offset_channels();
    while (count > 0) {
      const i64 run = std::min(count, shared - c % shared);
      const Sample<T> sample = at(pixel, c / shared, tap);
      const T* pointers[4];
      corners(sample, c, pointers);
      T weights[4];
      for (int k = 0; k < 4; ++k) weights[k] = sample.weight[k] * sample.mask;
      bilinear_kernels<T>().blend(pointers, weights, run, out);
      c += run, count -= run, out += run;
    }
  }
};

template <class T>
void forward(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask,
             const Tensor& weight, const Tensor& bias, Tensor& y) {
  const Conv2dDims& conv = dims.conv;
  const Sampler<T> sampler(dims, x, offset, mask);
  const i64 I = conv.group_in(), depth = dims.taps() * I;
  cpu::Gemm<T> gemm{
      .items = conv.groups, .rows = conv.N * conv.Ho * conv.Wo, .columns = conv.group_out(), .tap_depth = depth};
  gemm.scratch_per_row = depth;
  gemm.a_rows = [&](i64 group, i64 row, i64 count, const T** table, T* scratch) {
    for (i64 i = 0; i < count; ++i) {
      table[i] = scratch + i * depth;
      for (i64 tap = 0; tap < dims.taps(); ++tap)
        sampler.blend(row + i, tap, group * I, I, scratch + i * depth + tap * I);
    }
  };
  gemm.pack_b = cpu::pack_b_transposed(weight.data<T>(), depth, conv.group_out() * depth);
  gemm.c_rows = cpu::matrix_rows_out(y.data<T>(), conv.Co, conv.group_out());
  gemm.bias = bias.defined() ? bias.data<T>() : nullptr;
  cpu::run(gemm);
}

template <class T>
void backward_weight(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x, const Tensor& offset,
                     const Tensor& mask, Tensor& gw) {
  const Conv2dDims& conv = dims.conv;
  const Sampler<T> sampler(dims, x, offset, mask);
  const i64 I = conv.group_in(), O = conv.group_out(), columns = dims.taps() * I;
  cpu::Gemm<T> gemm{.items = conv.groups, .rows = O, .columns = columns, .tap_depth = conv.N * conv.Ho * conv.Wo};
  gemm.pack_a = cpu::pack_a_transposed(gy.data<T>(), conv.Co, O);
  gemm.keep_b = false;
  gemm.pack_b = [&](i64 group, i64 pixel, i64 depth, i64 column, i64 count, T* out, i64 stride) {
    for (i64 k = 0; k < depth; ++k)
      for (i64 j = 0; j < count;) {
        const i64 tap = (column + j) / I, c = (column + j) % I, run = std::min(count - j, I - c);
        sampler.blend(pixel + k, tap, group * I + c, run, out + k * stride + j);
        j += run;
      }
  };
  gemm.c_rows = cpu::matrix_rows_out(gw.data<T>(), columns, O * columns);
  cpu::run(gemm);
}

// The gradients of one strip of pixels, given gcolumns [pixels, groups, T, I].
template <class T>
struct StripBackward {
  const Sampler<T>& sampler;
  const T* gcolumns;
  i64 first, pixels;
  std::vector<Sample<T>> samples;  // [pixels, offset groups, taps]

  // Calls visit(c, count, gradient) for the runs of channels of [c, c + count) that are neighbours in gcolumns.
  template <class Visit>
  void runs(i64 pixel, i64 tap, i64 c, i64 count, Visit visit) const {
    const i64 I = sampler.dims.conv.group_in(), taps = sampler.dims.taps();
    while (count > 0) {
      const i64 group = c / I, run = std::min(count, I - c % I);
      visit(c, run, gcolumns + ((pixel * sampler.dims.conv.groups + group) * taps + tap) * I + c % I);
      c += run, count -= run;
    }
  }

  void offset_and_mask(T* goffset, T* gmask) {
    const i64 groups = sampler.dims.offset_groups, taps = sampler.dims.taps(), shared = sampler.dims.offset_channels();
    samples.resize(static_cast<size_t>(pixels * groups * taps));
#pragma omp parallel for schedule(static)
    for (i64 pixel = 0; pixel < pixels; ++pixel)
      for (i64 q = 0; q < groups; ++q)
        for (i64 tap = 0; tap < taps; ++tap) {
          const i64 entry = (pixel * groups + q) * taps + tap, out = first * groups * taps + entry;
          const Sample<T> s = samples[static_cast<size_t>(entry)] = sampler.at(first + pixel, q, tap);
          T dots[4] = {};  // of each corner's channels with the gradient
          runs(pixel, tap, q * shared, shared, [&](i64 c, i64 count, const T* g) {
            const T* corners[4];
            sampler.corners(s, c, corners);
            bilinear_kernels<T>().dot(corners, g, count, dots);
          });
          goffset[2 * out] = s.mask * ((1 - s.right) * (dots[2] - dots[0]) + s.right * (dots[3] - dots[1]));
          goffset[2 * out + 1] = s.mask * ((1 - s.down) * (dots[1] - dots[0]) + s.down * (dots[3] - dots[2]));
          if (gmask)
            gmask[out] = s.weight[0] * dots[0] + s.weight[1] * dots[1] + s.weight[2] * dots[2] + s.weight[3] * dots[3];
        }
  }

  // Threads own blocks of channels, so no two write the same element.
  void input(T* gx) const {
    constexpr i64 kChannels = 64;
    const i64 C = sampler.dims.conv.Ci, groups = sampler.dims.offset_groups, taps = sampler.dims.taps(),
              shared = sampler.dims.offset_channels();
#pragma omp parallel for schedule(static)
    for (i64 block = 0; block < (C + kChannels - 1) / kChannels; ++block)
      for (i64 pixel = 0; pixel < pixels; ++pixel)
        for (i64 q = block * kChannels / shared; q < groups && q * shared < (block + 1) * kChannels; ++q)
          for (i64 tap = 0; tap < taps; ++tap) {
            const Sample<T>& s = samples[static_cast<size_t>((pixel * groups + q) * taps + tap)];
            const i64 begin = std::max(q * shared, block * kChannels),
                      end = std::min({(q + 1) * shared, (block + 1) * kChannels, C});
            runs(pixel, tap, begin, end - begin, [&](i64 c, i64 count, const T* g) {
              T* corners[4];
              T weights[4];
              for (int k = 0; k < 4; ++k) {
                corners[k] = s.corner[k] < 0 ? nullptr : gx + s.corner[k] + c;
                weights[k] = s.weight[k] * s.mask;
              }
              bilinear_kernels<T>().scatter(corners, weights, g, count);
            });
          }
  }
};

template <class T>
void backward_input(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x, const Tensor& offset,
                    const Tensor& mask, const Tensor& weight, Tensor& gx, Tensor& goffset, Tensor& gmask) {
  constexpr i64 kStripBytes = 8 << 20;  // of gcolumns: stays in the last-level cache
  const Conv2dDims& conv = dims.conv;
  const Sampler<T> sampler(dims, x, offset, mask);
  const i64 O = conv.group_out(), columns = dims.taps() * conv.group_in(), pitch = conv.groups * columns;
  const i64 pixels = conv.N * conv.Ho * conv.Wo;
  const i64 strip = std::clamp<i64>(kStripBytes / (pitch * static_cast<i64>(sizeof(T))), 64, std::max<i64>(pixels, 64));
  Tensor gcolumns = Tensor::empty({strip, pitch}, x.dtype());
  T *const gcolumns_data = gcolumns.data<T>(), *const gmask_data = mask.defined() ? gmask.data<T>() : nullptr;
  for (i64 first = 0; first < pixels; first += strip) {
    const i64 count = std::min(strip, pixels - first);
    cpu::Gemm<T> gemm{.items = conv.groups, .rows = count, .columns = columns, .tap_depth = O};
    gemm.a_rows = cpu::matrix_rows(gy.data<T>() + first * conv.Co, conv.Co, O);
    gemm.pack_b = cpu::pack_b_plain(weight.data<T>(), columns, O * columns);
    gemm.c_rows = cpu::matrix_rows_out(gcolumns_data, pitch, columns);
    cpu::run(gemm);
    StripBackward<T> backward{
        .sampler = sampler, .gcolumns = gcolumns_data, .first = first, .pixels = count, .samples = {}};
    backward.offset_and_mask(goffset.data<T>(), gmask_data);
    backward.input(gx.data<T>());
  }
}

void deform_conv2d_cpu(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask,
                       const Tensor& weight, const Tensor& bias, Tensor& y) {
  dispatch_float(x.dtype(), "deform_conv2d", [&]<class T>() { forward<T>(dims, x, offset, mask, weight, bias, y); });
}

void deform_conv2d_backward_input_cpu(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                      const Tensor& offset, const Tensor& mask, const Tensor& weight, Tensor& gx,
                                      Tensor& goffset, Tensor& gmask) {
  dispatch_float(x.dtype(), "deform_conv2d_backward_input",
                 [&]<class T>() { backward_input<T>(dims, gy, x, offset, mask, weight, gx, goffset, gmask); });
}

void deform_conv2d_backward_weight_cpu(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                       const Tensor& offset, const Tensor& mask, Tensor& gw) {
  dispatch_float(x.dtype(), "deform_conv2d_backward_weight",
                 [&]<class T>() { backward_weight<T>(dims, gy, x, offset, mask, gw); });
}

const bool kAdded = deform_conv2d_kernels.add(DeviceKind::kCpu, deform_conv2d_cpu) &&
                    deform_conv2d_backward_input_kernels.add(DeviceKind::kCpu, deform_conv2d_backward_input_cpu) &&
                    deform_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, deform_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
