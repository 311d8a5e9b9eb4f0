// Deformable index convolution on the CPU: matrix products of sampled columns (ops/cpu/sampled_columns.h); the four
// corners of a sample come from the index map. Of a strip of gcolumns, per sample, four dot products give the gradient
// of the offset, and four scaled additions those of the features. Threads share the strip by rows for the former and by
// channels for the latter: every sum has a fixed order, whatever the number of threads.
#include "ops/sps_deform_conv2d.h"

#include <omp.h>

#include <atomic>
#include <vector>

#include "ops/cpu/bilinear_sample.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/sampled_columns.h"
#include "ops/cpu/sps_features.h"

namespace tessera::ops {
namespace {

template <class T>
struct Sample : cpu::BilinearSample<T> {
  i64 ids[4];  // of the cells at its corners
};

template <class T>
class Samples {
 public:
  Samples(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
          const Tensor& offset)
      : features(active, passive),
        size_(index_map.dim(1)),
        map_(index_map.data<i64>()),
        rows_(rows.data<i64>()),
        offsets_(offset.data<T>()) {
    std::atomic<bool> fit = true;
    parallel_ranges(index_map.numel(), 1 << 14, [&](i64 begin, i64 end) {
      bool mine = true;
      for (i64 i = begin; i < end; ++i) mine &= static_cast<u64>(map_[i]) < static_cast<u64>(features.rows);
      if (!mine) fit = false;
    });
    TESSERA_CHECK(fit, "sps_deform_conv2d: the index map holds an id that is none of the {} rows", features.rows);
  }

  Sample<T> at(i64 row, i64 position) const {
    const i64 cell = rows_[row], S = size_, zero = features.rows;
    const T x = static_cast<T>(cell % S) + offsets_[(row * kSpsPositions + position) * 2];
    const T y = static_cast<T>(cell / S % S) + offsets_[(row * kSpsPositions + position) * 2 + 1];
    Sample<T> sample{cpu::bilinear_sample<T>(cell / (S * S), y, x, {S, S, 1}), {zero, zero, zero, zero}};
    for (int k = 0; k < 4; ++k) {
      const i64* id = sample.corner(map_, {S, S, 1}, k, 0, static_cast<const i64*>(nullptr));
      if (id) sample.ids[k] = *id;
    }
    return sample;
  }

  void corners(const Sample<T>& sample, i64 channel, const T* out[4]) const {
    for (int k = 0; k < 4; ++k) out[k] = features.at(sample.ids[k]) + channel;
  }

  // out = the sampled values of channels [channel, channel + count).
  void blend(i64 row, i64 position, i64 channel, i64 count, T* out) const {
    const Sample<T> sample = at(row, position);
    const T* from[4];
    corners(sample, channel, from);
    blend_(from, sample.weights().data(), count, out);
  }

  const cpu::SpsFeatures<T> features;

 private:
  i64 size_;
  const i64 *map_, *rows_;
  const T* offsets_;
  decltype(simd::BilinearKernels<T>::blend) blend_ = simd::bilinear_kernels.get<T>().blend;
};

template <class T>
cpu::SampledColumns<T, Samples<T>> columns_of(const Samples<T>& samples, i64 rows, i64 Fo) {
  return {samples, rows, 1, kSpsPositions, samples.features.width, Fo};
}

// The gradient of the offsets of rows [first, first + count), given gcolumns [count, 9, Fi]. Threads share the rows.
template <class T>
void offset_gradient(const Samples<T>& samples, const T* gcolumns, i64 first, i64 count, T* goffset) {
  const i64 Fi = samples.features.width;
  const auto dot = simd::bilinear_kernels.get<T>().dot;
#pragma omp parallel for schedule(static)
  for (i64 i = 0; i < count; ++i)
    for (i64 position = 0; position < kSpsPositions; ++position) {
      const Sample<T> s = samples.at(first + i, position);
      const T* corners[4];
      T dots[4] = {};  // of each corner's features with the gradient
      samples.corners(s, 0, corners);
      dot(corners, gcolumns + (i * kSpsPositions + position) * Fi, Fi, dots);
      T* g = goffset + ((first + i) * kSpsPositions + position) * 2;
      g[0] = s.slope_right(dots);
      g[1] = s.slope_down(dots);
    }
}

// Adds the gradient of the features. Threads own channels, so no two write the same element.
template <class T>
void feature_gradient(const Samples<T>& samples, const T* gcolumns, i64 first, i64 count, T* gactive, T* gpassive) {
  constexpr i64 kFewest = 16;  // channels: below a cache line two threads would share one
  const i64 Fi = samples.features.width, active = samples.features.active_rows, rows = samples.features.rows;
  const i64 threads = std::clamp<i64>(Fi / kFewest, 1, omp_get_max_threads());
  const i64 block = (Fi / threads + kFewest - 1) / kFewest * kFewest;
  const auto scatter = simd::bilinear_kernels.get<T>().scatter;
#pragma omp parallel for schedule(static)
  for (i64 begin = 0; begin < Fi; begin += block) {
    const i64 channels = std::min(block, Fi - begin);
    for (i64 i = 0; i < count; ++i)
      for (i64 position = 0; position < kSpsPositions; ++position) {
        const Sample<T> s = samples.at(first + i, position);
        T* corners[4];
        for (int k = 0; k < 4; ++k) {
          const i64 id = s.ids[k];
          corners[k] =
              id < active ? gactive + id * Fi + begin : (id < rows ? gpassive + (id - active) * Fi + begin : nullptr);
        }
        scatter(corners, s.weights().data(), gcolumns + (i * kSpsPositions + position) * Fi + begin, channels);
      }
  }
}

void sps_deform_conv2d_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
                           const Tensor& offset, const Tensor& weight, const Tensor& bias, Tensor& y) {
  dispatch_float(active.dtype(), "sps_deform_conv2d", [&]<class T>() {
    const Samples<T> samples(index_map, rows, active, passive, offset);
    columns_of(samples, y.dim(0), y.dim(1)).forward(weight, bias, y);
  });
}

void sps_deform_conv2d_backward_features_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                             const Tensor& active, const Tensor& passive, const Tensor& offset,
                                             const Tensor& weight, Tensor& goffset, Tensor& gpassive, Tensor& gactive) {
  dispatch_float(gy.dtype(), "sps_deform_conv2d_backward_features", [&]<class T>() {
    const Samples<T> samples(index_map, rows, active, passive, offset);
    columns_of(samples, gy.dim(0), gy.dim(1)).each_strip(gy, weight, [&](i64 first, i64 count, const T* gcolumns) {
      offset_gradient(samples, gcolumns, first, count, goffset.data<T>());
      feature_gradient(samples, gcolumns, first, count, gactive.data<T>(), gpassive.data<T>());
    });
  });
}

void sps_deform_conv2d_backward_weight_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                           const Tensor& active, const Tensor& passive, const Tensor& offset,
                                           Tensor& gw) {
  dispatch_float(gy.dtype(), "sps_deform_conv2d_backward_weight", [&]<class T>() {
    const Samples<T> samples(index_map, rows, active, passive, offset);
    columns_of(samples, gy.dim(0), gy.dim(1)).weight_gradient(gy, gw);
  });
}

const bool kAdded =
    sps_deform_conv2d_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_cpu) &&
    sps_deform_conv2d_backward_features_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_backward_features_cpu) &&
    sps_deform_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
