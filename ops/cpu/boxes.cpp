// Boxes on the CPU; ops/scalar/boxes.h has the formulas, ops/cpu/simd/boxes.cpp the loops over many boxes.
//
// nms sorts once, puts the boxes of one label in order beside each other, split by coordinate, and walks them from the
// best: a box that is still there is kept and marks all later ones it covers, many at a time.
#include "ops/boxes.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/cpu/simd/boxes.h"
#include "ops/cpu/sort_order.h"
#include "ops/scalar/boxes.h"

namespace tessera::ops {
namespace {

template <class T>
class SplitBoxes {
 public:
  // Room for `count` boxes, padded to whole blocks with boxes of no area at the origin.
  void resize(i64 count) {
    pitch_ = (count + simd::kNmsBlock - 1) / simd::kNmsBlock * simd::kNmsBlock;
    values_.assign(static_cast<size_t>(5 * pitch_), T(0));
  }
  void set(i64 j, const T* box) {
    for (i64 k = 0; k < 4; ++k) values_[static_cast<size_t>(k * pitch_ + j)] = box[k];
    values_[static_cast<size_t>(4 * pitch_ + j)] = scalar::Box<T>::at(box).area;
  }
  simd::Boxes<T> boxes() const {
    const T* p = values_.data();
    return {p, p + pitch_, p + 2 * pitch_, p + 3 * pitch_, p + 4 * pitch_};
  }
  i64 padded() const { return pitch_; }

 private:
  i64 pitch_ = 0;
  std::vector<T> values_;
};

template <const simd::FloatTables<simd::BoxRow>& kLoops>
void pairwise_cpu(const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_float(a.dtype(), "box_iou", [&]<class T>() {
    const i64 N = a.dim(0), M = b.dim(0);
    SplitBoxes<T> split;
    split.resize(M);
    for (i64 j = 0; j < M; ++j) split.set(j, b.data<T>() + 4 * j);
    const auto loop = kLoops.template get<T>();
    const T* from = a.data<T>();
    T* to = y.data<T>();
    parallel_ranges(N, std::max<i64>(1, 8192 / std::max<i64>(M, 1)), [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) loop(from + 4 * i, split.boxes(), M, to + i * M);
    });
  });
}

// The largest T that is not above x: `value > floor_to<T>(x)` and `value > x` are then the same for every T.
template <class T>
T floor_to(double x) {
  const T rounded = static_cast<T>(x);
  return static_cast<double>(rounded) > x ? std::nextafter(rounded, -std::numeric_limits<T>::infinity()) : rounded;
}

template <class T>
i64 suppress(const T* boxes, const T* scores, const i64* labels, i64 N, double threshold, i64* keep) {
  cpu::SortOrder<T> sorter;
  const auto& by_score = sorter(scores, N, true);
  const auto index = [&](i64 rank) { return static_cast<i64>(by_score[static_cast<size_t>(rank)].index); };
  std::vector<i64> ranks(static_cast<size_t>(N));  // by label, then by rank
  std::iota(ranks.begin(), ranks.end(), i64{0});
  if (labels)
    std::stable_sort(ranks.begin(), ranks.end(), [&](i64 a, i64 b) { return labels[index(a)] < labels[index(b)]; });

  const auto loop = simd::suppress.get<T>();
  const T limit = floor_to<T>(threshold);
  SplitBoxes<T> split;
  std::vector<u8> removed, kept(static_cast<size_t>(N), 0);  // kept: by rank
  for (i64 begin = 0, end = 0; begin < N; begin = end) {
    const auto label = [&](i64 at) { return labels ? labels[index(ranks[static_cast<size_t>(at)])] : 0; };
    while (end < N && label(end) == label(begin)) ++end;
    const i64 count = end - begin;
    split.resize(count);
    for (i64 j = 0; j < count; ++j) split.set(j, boxes + 4 * index(ranks[static_cast<size_t>(begin + j)]));
    removed.assign(static_cast<size_t>(split.padded()), 0);
    for (i64 j = 0; j < count; ++j) {
      if (removed[static_cast<size_t>(j)]) continue;
      kept[static_cast<size_t>(ranks[static_cast<size_t>(begin + j)])] = 1;
      loop(split.boxes(), j, count, limit, removed.data());
    }
  }
  i64 found = 0;
  for (i64 rank = 0; rank < N; ++rank)
    if (kept[static_cast<size_t>(rank)]) keep[found++] = index(rank);
  return found;
}

void nms_cpu(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold, Tensor& keep,
             i64& count) {
  dispatch_float(boxes.dtype(), "nms", [&]<class T>() {
    TESSERA_CHECK(static_cast<u64>(boxes.dim(0)) <= cpu::SortOrder<T>::kLongest, "nms: {} boxes are too many",
                  boxes.dim(0));
    count = suppress(boxes.data<T>(), scores.data<T>(), labels.defined() ? labels.data<i64>() : nullptr, boxes.dim(0),
                     threshold, keep.data<i64>());
  });
}

constexpr i64 kGrain = 4096;  // pairs per thread

void paired_iou_cpu(const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_float(a.dtype(), "paired_box_iou", [&]<class T>() {
    const T *first = a.data<T>(), *second = b.data<T>();
    for (i64 i = 0; i < a.dim(0); ++i)
      y.data<T>()[i] = scalar::iou(scalar::Box<T>::at(first + 4 * i), scalar::Box<T>::at(second + 4 * i));
  });
}

// Loss: of ops/scalar/boxes.h
template <template <class> class Loss>
void loss_cpu(const Tensor& a, const Tensor& b, double eps_, Tensor& y) {
  dispatch_float(a.dtype(), "box loss", [&]<class T>() {
    const T *first = a.data<T>(), *second = b.data<T>(), eps = static_cast<T>(eps_);
    T* loss = y.data<T>();
    parallel_ranges(a.dim(0), kGrain, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) loss[i] = Loss<T>{first + 4 * i, second + 4 * i, eps}.loss();
    });
  });
}

template <template <class> class Loss>
void loss_backward_cpu(const Tensor& gy, const Tensor& a, const Tensor& b, double eps_, double scale, Tensor& ga) {
  dispatch_float(a.dtype(), "box loss", [&]<class T>() {
    const T *g = gy.data<T>(), *first = a.data<T>(), *second = b.data<T>(), eps = static_cast<T>(eps_);
    const i64 step = gy.rank() == 0 ? 0 : 1;
    parallel_ranges(a.dim(0), kGrain, [&](i64 begin, i64 end) {
      for (i64 i = begin; i < end; ++i) {
        const Loss<T> pair{first + 4 * i, second + 4 * i, eps};
        for (int k = 0; k < 4; ++k) ga.data<T>()[4 * i + k] = g[i * step] * static_cast<T>(scale) * pair.slope(k);
      }
    });
  });
}

const bool kAdded =
    box_iou_kernels.add(DeviceKind::kCpu, pairwise_cpu<simd::iou_row>) &&
    generalized_box_iou_kernels.add(DeviceKind::kCpu, pairwise_cpu<simd::giou_row>) &&
    generalized_box_iou_loss_kernels.add(DeviceKind::kCpu, loss_cpu<scalar::GeneralizedIouLoss>) &&
    generalized_box_iou_loss_backward_kernels.add(DeviceKind::kCpu, loss_backward_cpu<scalar::GeneralizedIouLoss>) &&
    extended_box_iou_loss_kernels.add(DeviceKind::kCpu, loss_cpu<scalar::ExtendedIouLoss>) &&
    extended_box_iou_loss_backward_kernels.add(DeviceKind::kCpu, loss_backward_cpu<scalar::ExtendedIouLoss>) &&
    paired_box_iou_kernels.add(DeviceKind::kCpu, paired_iou_cpu) && nms_kernels.add(DeviceKind::kCpu, nms_cpu);

}  // namespace
}  // namespace tessera::ops
