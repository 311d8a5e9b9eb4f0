// Deformable convolution on the CPU: matrix products of sampled columns (ops/cpu/sampled_columns.h). Of a strip of
// gcolumns, per sample, four dot products give the gradients of offset and mask, and four scaled additions that of x.
// Threads share the strip by pixels for the former and by channels for the latter: every sum has a fixed order,
// whatever the number of threads.
#include "ops/deform_conv2d.h"

#include <array>
#include <vector>

#include "ops/cpu/bilinear_sample.h"
#include "ops/cpu/sampled_columns.h"
#include "ops/scalar/conv2d.h"

namespace tessera::ops {
namespace {

template <class T>
struct Sample : cpu::BilinearSample<T> {
  T mask;
};

// All samples of one call, [pixels, offset groups, positions], and how to read through them.
template <class T>
class Samples {
 public:
  Samples(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask)
      : dims_(dims),
        map_{dims.conv.H, dims.conv.W, dims.conv.Ci},
        x_(x.data<T>()),
        zeros_(Tensor::zeros({dims.conv.Ci}, x.dtype())),
        samples_(static_cast<size_t>(offset.numel() / 2)) {
    const Conv2dDims& conv = dims.conv;
    const T *offsets = offset.data<T>(), *masks = mask.defined() ? mask.data<T>() : nullptr;
    const i64 per_pixel = dims.offset_groups * dims.positions();
#pragma omp parallel for schedule(static)
    for (i64 pixel = 0; pixel < conv.N * conv.Ho * conv.Wo; ++pixel) {
      const i64 n = pixel / (conv.Ho * conv.Wo), oh = pixel / conv.Wo % conv.Ho, ow = pixel % conv.Wo;
      for (i64 i = 0; i < per_pixel; ++i) {
        const i64 entry = pixel * per_pixel + i, position = i % dims.positions();
        const i64 h = scalar::seen_place(oh, position / conv.Kw, conv);
        const i64 w = scalar::seen_place(ow, position % conv.Kw, conv);
        samples_[static_cast<size_t>(entry)] = {
            cpu::bilinear_sample<T>(n, static_cast<T>(h) + offsets[2 * entry],
                                    static_cast<T>(w) + offsets[2 * entry + 1], map_),
            masks ? masks[entry] : T(1)};
      }
    }
  }

  const DeformConv2dDims& dims() const {
    return dims_;
  }
  const cpu::MapSize& map() const {
    return map_;
  }
  const Sample<T>& at(i64 pixel, i64 offset_group, i64 position) const {
    return samples_[static_cast<size_t>((pixel * dims_.offset_groups + offset_group) * dims_.positions() + position)];
  }

  // The four pixels from channel c on; zeros for those outside.
  std::array<const T*, 4> corners(const Sample<T>& sample, i64 c) const {
    return sample.corners(x_, map_, c, zeros_.template data<T>());
  }

  // out = the sampled, masked values of channels [c, c + count) at one position; they may lie in several offset groups.
  void blend(i64 pixel, i64 position, i64 c, i64 count, T* out) const {
    const i64 shared = dims_.offset_channels();
    while (count > 0) {
      const i64 run = std::min(count, shared - c % shared);
      const Sample<T>& sample = at(pixel, c / shared, position);
      blend_(corners(sample, c).data(), sample.weights(sample.mask).data(), run, out);
      c += run, count -= run, out += run;
    }
  }

 private:
  DeformConv2dDims dims_;
  cpu::MapSize map_;
  const T* x_;
  Tensor zeros_;
  std::vector<Sample<T>> samples_;
  decltype(simd::BilinearKernels<T>::blend) blend_ = simd::bilinear_kernels.get<T>().blend;
};

template <class T>
cpu::SampledColumns<T, Samples<T>> columns_of(const Samples<T>& samples) {
  const Conv2dDims& conv = samples.dims().conv;
  return {samples,         conv.N * conv.Ho * conv.Wo, conv.groups, samples.dims().positions(), conv.group_in(),
          conv.group_out()};
}

// The gradients of one strip of pixels, given gcolumns [pixels, groups, T, I].
template <class T>
struct Strip {
  const Samples<T>& samples;
  const T* gcolumns;
  i64 first, pixels;

  // Calls visit(c, count, gradient) for the runs of channels of [c, c + count) that are neighbours in gcolumns.
  template <class Visit>
  void runs(i64 pixel, i64 position, i64 c, i64 count, Visit visit) const {
    const i64 I = samples.dims().conv.group_in(), positions = samples.dims().positions(),
              groups = samples.dims().conv.groups;
    while (count > 0) {
      const i64 run = std::min(count, I - c % I);
      visit(c, run, gcolumns + ((pixel * groups + c / I) * positions + position) * I + c % I);
      c += run, count -= run;
    }
  }

  // Threads share the pixels.
  void offset_and_mask(T* goffset, T* gmask) const {
    const i64 groups = samples.dims().offset_groups, positions = samples.dims().positions();
    const i64 shared = samples.dims().offset_channels();
    const auto dot = simd::bilinear_kernels.get<T>().dot;
#pragma omp parallel for schedule(static)
    for (i64 pixel = 0; pixel < pixels; ++pixel)
      for (i64 q = 0; q < groups; ++q)
        for (i64 position = 0; position < positions; ++position) {
          const Sample<T>& s = samples.at(first + pixel, q, position);
          T dots[4] = {};  // of each corner's channels with the gradient
          runs(pixel, position, q * shared, shared,
               [&](i64 c, i64 count, const T* g) { dot(samples.corners(s, c).data(), g, count, dots); });
          const i64 entry = ((first + pixel) * groups + q) * positions + position;
          goffset[2 * entry] = s.mask * s.slope_down(dots);
          goffset[2 * entry + 1] = s.mask * s.slope_right(dots);
          if (gmask) gmask[entry] = s.blend(dots);
        }
  }

  // Threads own blocks of channels, so no two write the same element.
  void input(T* gx) const {
    constexpr i64 kChannels = 64;
    const i64 C = samples.dims().conv.Ci, positions = samples.dims().positions(),
              shared = samples.dims().offset_channels();
    const auto scatter = simd::bilinear_kernels.get<T>().scatter;
#pragma omp parallel for schedule(static)
    for (i64 block = 0; block < C; block += kChannels) {
      const i64 block_end = std::min(block + kChannels, C);
      for (i64 pixel = 0; pixel < pixels; ++pixel)
        for (i64 q = block / shared; q * shared < block_end; ++q)
          for (i64 position = 0; position < positions; ++position) {
            const Sample<T>& s = samples.at(first + pixel, q, position);
            const i64 begin = std::max(q * shared, block), end = std::min((q + 1) * shared, block_end);
            runs(pixel, position, begin, end - begin, [&](i64 c, i64 count, const T* g) {
              scatter(s.template corners<T>(gx, samples.map(), c, nullptr).data(), s.weights(s.mask).data(), g, count);
            });
          }
    }
  }
};

void deform_conv2d_cpu(const DeformConv2dDims& dims, const Tensor& x, const Tensor& offset, const Tensor& mask,
                       const Tensor& weight, const Tensor& bias, Tensor& y) {
  dispatch_float(x.dtype(), "deform_conv2d",
                 [&]<class T>() { columns_of(Samples<T>(dims, x, offset, mask)).forward(weight, bias, y); });
}

void deform_conv2d_backward_input_cpu(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                      const Tensor& offset, const Tensor& mask, const Tensor& weight, Tensor& gx,
                                      Tensor& goffset, Tensor& gmask) {
  dispatch_float(x.dtype(), "deform_conv2d_backward_input", [&]<class T>() {
    const Samples<T> samples(dims, x, offset, mask);
    columns_of(samples).each_strip(gy, weight, [&](i64 first, i64 count, const T* gcolumns) {
      const Strip<T> gradients{samples, gcolumns, first, count};
      gradients.offset_and_mask(goffset.data<T>(), mask.defined() ? gmask.data<T>() : nullptr);
      gradients.input(gx.data<T>());
    });
  });
}

void deform_conv2d_backward_weight_cpu(const DeformConv2dDims& dims, const Tensor& gy, const Tensor& x,
                                       const Tensor& offset, const Tensor& mask, Tensor& gw) {
  dispatch_float(x.dtype(), "deform_conv2d_backward_weight",
                 [&]<class T>() { columns_of(Samples<T>(dims, x, offset, mask)).weight_gradient(gy, gw); });
}

const bool kAdded = deform_conv2d_kernels.add(DeviceKind::kCpu, deform_conv2d_cpu) &&
                    deform_conv2d_backward_input_kernels.add(DeviceKind::kCpu, deform_conv2d_backward_input_cpu) &&
                    deform_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, deform_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
