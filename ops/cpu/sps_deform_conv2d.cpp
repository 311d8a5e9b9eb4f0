// Deformable index convolution on the CPU: as ops/cpu/deform_conv2d.cpp, a matrix product whose patches are sampled
// block by block right before use; the four corners of a sample come from the index map.
//
//   forward   y = columns w^T        columns [N_A, 9 x Fi] are blended into the scratch rows of one block of rows
//   weight    gw = gy^T columns      columns are blended straight into the packed panels
//   the rest  gcolumns = gy w        for a strip of rows; then, per sample, four dot products give the gradient of the
//             offset, and four scaled additions those of the features. Threads share the strip by rows for the former
//             and by channels for the latter: every sum has a fixed order, whatever the number of threads.
#include "ops/sps_deform_conv2d.h"

#include <omp.h>

#include <atomic>
#include <vector>

#include "ops/cpu/bilinear_sample.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/parallel.h"
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
void forward(const Samples<T>& samples, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const i64 Fi = samples.features.width, Fo = y.dim(1), depth = kSpsPositions * Fi;
  cpu::Gemm<T> gemm{.rows = y.dim(0), .columns = Fo, .run_depth = depth};
  gemm.scratch_per_row = depth;
  gemm.a_rows = [&](i64, i64 row, i64 count, const T** table, T* scratch) {
    for (i64 i = 0; i < count; ++i) {
      table[i] = scratch + i * depth;
      for (i64 position = 0; position < kSpsPositions; ++position)
        samples.blend(row + i, position, 0, Fi, scratch + i * depth + position * Fi);
    }
  };
  gemm.pack_b = cpu::pack_b_transposed(weight.data<T>(), depth, 0);
  gemm.c_rows = cpu::matrix_rows_out(y.data<T>(), Fo, 0);
  gemm.bias = bias.defined() ? bias.data<T>() : nullptr;
  cpu::run(gemm);
}

template <class T>
void backward_weight(const Samples<T>& samples, const Tensor& gy, Tensor& gw) {
  const i64 Fi = samples.features.width, Fo = gy.dim(1), columns = kSpsPositions * Fi;
  cpu::Gemm<T> gemm{.rows = Fo, .columns = columns, .run_depth = gy.dim(0)};
  gemm.a_columns = gy.data<T>();
  gemm.a_step = Fo;
  gemm.keep_b = false;
  gemm.pack_b = [&](i64, i64 row, i64 depth, i64 column, i64 count, T* out, i64 stride) {
    for (i64 k = 0; k < depth; ++k)
      for (i64 j = 0; j < count;) {
        const i64 position = (column + j) / Fi, channel = (column + j) % Fi, run = std::min(count - j, Fi - channel);
        samples.blend(row + k, position, channel, run, out + k * stride + j);
        j += run;
      }
  };
  gemm.c_rows = cpu::matrix_rows_out(gw.data<T>(), columns, 0);
  cpu::run(gemm);
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

template <class T>
void backward_features(const Samples<T>& samples, const Tensor& gy, const Tensor& weight, Tensor& goffset,
                       Tensor& gpassive, Tensor& gactive) {
  constexpr i64 kStripBytes = 8 << 20;  // of gcolumns: stays in the last-level cache
  const i64 rows = gy.dim(0), Fo = gy.dim(1), columns = kSpsPositions * samples.features.width;
  if (rows == 0) return;
  const i64 strip = std::clamp<i64>(kStripBytes / std::max<i64>(1, columns * static_cast<i64>(sizeof(T))), 1, rows);
  Tensor gcolumns = Tensor::empty({strip, columns}, gy.dtype());
  T* const gcolumns_data = gcolumns.data<T>();
  for (i64 first = 0; first < rows; first += strip) {
    const i64 count = std::min(strip, rows - first);
    cpu::Gemm<T> gemm{.rows = count, .columns = columns, .run_depth = Fo};
    gemm.a_rows = cpu::matrix_rows(gy.data<T>() + first * Fo, Fo, 0);
    gemm.pack_b = cpu::pack_b_plain(weight.data<T>(), columns, 0);
    gemm.c_rows = cpu::matrix_rows_out(gcolumns_data, columns, 0);
    cpu::run(gemm);
    offset_gradient(samples, gcolumns_data, first, count, goffset.data<T>());
    feature_gradient(samples, gcolumns_data, first, count, gactive.data<T>(), gpassive.data<T>());
  }
}

void sps_deform_conv2d_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& active, const Tensor& passive,
                           const Tensor& offset, const Tensor& weight, const Tensor& bias, Tensor& y) {
  dispatch_float(active.dtype(), "sps_deform_conv2d",
                 [&]<class T>() { forward<T>(Samples<T>(index_map, rows, active, passive, offset), weight, bias, y); });
}

void sps_deform_conv2d_backward_features_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                             const Tensor& active, const Tensor& passive, const Tensor& offset,
                                             const Tensor& weight, Tensor& goffset, Tensor& gpassive, Tensor& gactive) {
  dispatch_float(gy.dtype(), "sps_deform_conv2d_backward_features", [&]<class T>() {
    backward_features<T>(Samples<T>(index_map, rows, active, passive, offset), gy, weight, goffset, gpassive, gactive);
  });
}

void sps_deform_conv2d_backward_weight_cpu(const Tensor& index_map, const Tensor& rows, const Tensor& gy,
                                           const Tensor& active, const Tensor& passive, const Tensor& offset,
                                           Tensor& gw) {
  dispatch_float(gy.dtype(), "sps_deform_conv2d_backward_weight",
                 [&]<class T>() { backward_weight<T>(Samples<T>(index_map, rows, active, passive, offset), gy, gw); });
}

const bool kAdded =
    sps_deform_conv2d_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_cpu) &&
    sps_deform_conv2d_backward_features_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_backward_features_cpu) &&
    sps_deform_conv2d_backward_weight_kernels.add(DeviceKind::kCpu, sps_deform_conv2d_backward_weight_cpu);

}  // namespace
}  // namespace tessera::ops
