// RoIAlign on the CPU; ops/roi_align.h states the formula.
//
// The mean over a bin's points separates into weights of rows and weights of columns, where those of all points of the
// bin that fall on one row are merged. With R rows and C columns a bin is R C multiply-adds per channel, whatever the
// number of points.
//
//   forward    threads share the rows of bins, y[r, i, :, :] = weighted sum of x, from the top of the map to its bottom
//   backward   the same sum transposed: to pixel (v, u) the bins that read it add gy with the same weights. Threads
//              share strips of rows of gx; each goes through the rois that touch its strip, in order, so each pixel's
//              sum has one order whatever the strips.
#include "ops/roi_align.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/cpu/simd/roi_align.h"
#include "ops/scalar/roi_align.h"

namespace tessera::ops {
namespace {

constexpr i64 kWorthThreads = 1 << 14;  // elements: with fewer one thread is done before another has started

// What consecutive items read with what weight: bins of pixels, or pixels of bins. Offsets are multiples of `stride`
// elements.
template <class T>
struct Weights {
  std::vector<i64> begin{0}, offset;
  std::vector<T> weight;

  i64 items() const { return static_cast<i64>(begin.size()) - 1; }
  simd::WeightLists<T> lists() const { return {begin.data(), offset.data(), weight.data()}; }
};

// What the bins of an axis read.
template <class T>
Weights<T> bin_weights(const scalar::RoiAxis& axis, i64 stride) {
  const double share = axis.points > 0 ? 1 / axis.points : 0;
  Weights<T> result;
  std::vector<std::pair<i64, double>> merged;  // pixel and weight
  const auto add = [&](i64 pixel, double weight) {
    for (size_t k = merged.size(); k > 0 && merged.size() - k < 4; --k)  // neighbours share pixels
      if (merged[k - 1].first == pixel) {
        merged[k - 1].second += weight;
        return;
      }
    merged.emplace_back(pixel, weight);
  };
  for (i64 i = 0; i < axis.bins; ++i) {
    const scalar::RoiPoints inside = axis.between(i, -1, static_cast<double>(axis.size));
    merged.clear();
    for (i64 k = 0; k < inside.count; ++k) {
      const double place = axis.place(i, inside.first + static_cast<double>(k));
      if (!axis.on_map(place)) continue;
      const auto [low, fraction] = axis.pixels(place);
      add(low, (1 - fraction) * share);
      if (fraction > 0) add(low + 1, fraction * share);
    }
    for (const auto& [pixel, weight] : merged) {
      result.offset.push_back(pixel * stride);
      result.weight.push_back(static_cast<T>(weight));
    }
    result.begin.push_back(static_cast<i64>(result.offset.size()));
  }
  return result;
}

// Transposed: items are the pixels first, first + 1, ..., which read the bins that read them, in order.
template <class T>
struct Readers : Weights<T> {
  i64 first = 0;

  Readers() = default;
  Readers(const Weights<T>& bins, i64 stride) {
    if (bins.offset.empty()) return;
    const auto [low, high] = std::minmax_element(bins.offset.begin(), bins.offset.end());
    first = *low;
    this->begin.assign(static_cast<size_t>(*high - *low + 2), 0);
    for (const i64 pixel : bins.offset) ++this->begin[static_cast<size_t>(pixel - first + 1)];
    for (size_t i = 1; i < this->begin.size(); ++i) this->begin[i] += this->begin[i - 1];
    this->offset.resize(bins.offset.size());
    this->weight.resize(bins.offset.size());
    std::vector<i64> next(this->begin.begin(), this->begin.end() - 1);
    for (i64 bin = 0; bin < bins.items(); ++bin)
      for (i64 t = bins.begin[bin]; t < bins.begin[bin + 1]; ++t) {
        const i64 to = next[static_cast<size_t>(bins.offset[t] - first)]++;
        this->offset[to] = bin * stride;
        this->weight[to] = bins.weight[t];
      }
  }
};

template <class T>
struct RoiWeights {
  i64 image = 0;
  Weights<T> rows, columns;
  i64 left = 0, span = 0;  // elements: columns' offsets count from `left` and end before `span`
};

template <class T>
std::vector<RoiWeights<T>> roi_weights(const Tensor& rois, const RoiAlignParams& p, i64 H, i64 W, i64 row_stride,
                                       i64 column_stride) {
  std::vector<RoiWeights<T>> result(static_cast<size_t>(rois.dim(0)));
#pragma omp parallel for schedule(static) if (result.size() > 64)
  for (size_t r = 0; r < result.size(); ++r) {
    const T* roi = rois.data<T>() + r * 5;
    RoiWeights<T>& weights = result[r];
    weights.image = static_cast<i64>(roi[0]);
    weights.rows = bin_weights<T>(scalar::RoiAxis::of(p, roi[2], roi[4], p.height, H), row_stride);
    weights.columns = bin_weights<T>(scalar::RoiAxis::of(p, roi[1], roi[3], p.width, W), column_stride);
    if (weights.columns.offset.empty()) continue;
    const auto [low, high] = std::minmax_element(weights.columns.offset.begin(), weights.columns.offset.end());
    weights.left = *low;
    weights.span = *high - *low + column_stride;
    for (i64& offset : weights.columns.offset) offset -= weights.left;
  }
  return result;
}

// One thread's rows of sums. With fewer channels than make a vector, the rows are summed first, along all elements
// between the first and the last column, and the columns then; otherwise both at once.
template <class T>
class RowSums {
 public:
  void operator()(const T* in, i64 span, const Weights<T>& rows, i64 row, const Weights<T>& columns, i64 channels,
                  bool add, T* out) {
    if (channels >= kFewChannels) {
      sum_(in, rows.lists(), row, columns.lists(), columns.items(), channels, add, out);
      return;
    }
    line_.resize(std::max(line_.size(), static_cast<size_t>(span)));
    sum_(in, rows.lists(), row, all_.lists(), 1, span, false, line_.data());
    sum_(line_.data(), all_.lists(), 0, columns.lists(), columns.items(), channels, add, out);
  }

 private:
  static constexpr i64 kFewChannels = 16;
  simd::SeparableRow<T>* const sum_ = simd::separable_row.get<T>();
  const Weights<T> all_{{0, 1}, {0}, {1}};
  std::vector<T> line_;
};

// All rows of bins, r * height + i, ordered by the image and the row of the map where they begin to read: whoever works
// through them in this order finds the rows of the map in the cache.
template <class T>
std::vector<i64> rows_of_bins(const std::vector<RoiWeights<T>>& rois, i64 height, i64 images, i64 H, i64 row_stride) {
  const auto place = [&](i64 unit) {
    const RoiWeights<T>& roi = rois[static_cast<size_t>(unit / height)];
    const i64 first = roi.rows.begin[unit % height];
    return roi.image * H + (first < roi.rows.begin[unit % height + 1] ? roi.rows.offset[first] / row_stride : 0);
  };
  const i64 count = static_cast<i64>(rois.size()) * height;
  std::vector<i64> next(static_cast<size_t>(images * H + 1)), units(static_cast<size_t>(count));
  for (i64 unit = 0; unit < count; ++unit) ++next[place(unit) + 1];
  for (size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  for (i64 unit = 0; unit < count; ++unit) units[next[place(unit)]++] = unit;
  return units;
}

template <class T>
void forward(const Tensor& x_, const Tensor& rois, const RoiAlignParams& p, Tensor& y_) {
  const i64 H = x_.dim(1), W = x_.dim(2), C = x_.dim(3), line = std::max<i64>(W * C, 1);
  const std::vector<RoiWeights<T>> weights = roi_weights<T>(rois, p, H, W, line, C);
  const std::vector<i64> units = rows_of_bins(weights, p.height, x_.dim(0), H, line);
  const T* x = x_.data<T>();
  T* y = y_.data<T>();
#pragma omp parallel if (y_.numel() > kWorthThreads)
  {
    RowSums<T> sums;
#pragma omp for schedule(dynamic, 8)
    for (size_t k = 0; k < units.size(); ++k) {
      const RoiWeights<T>& roi = weights[static_cast<size_t>(units[k] / p.height)];
      sums(x + roi.image * H * W * C + roi.left, roi.span, roi.rows, units[k] % p.height, roi.columns, C, false,
           y + units[k] * p.width * C);
    }
  }
}

template <class T>
void backward(const Tensor& gy_, const Tensor& rois, const RoiAlignParams& p, Tensor& gx_) {
  constexpr i64 kStrip = 8;  // rows: few enough that a strip of a feature map stays in the second-level cache
  const i64 N = gx_.dim(0), H = gx_.dim(1), W = gx_.dim(2), C = gx_.dim(3), R = rois.dim(0);
  const T* gy = gy_.data<T>();
  T* gx = gx_.data<T>();

  const std::vector<RoiWeights<T>> weights = roi_weights<T>(rois, p, H, W, 1, 1);
  std::vector<Readers<T>> rows(static_cast<size_t>(R)), columns(static_cast<size_t>(R));
#pragma omp parallel for schedule(static) if (R > 64)
  for (i64 r = 0; r < R; ++r) {
    rows[r] = Readers<T>(weights[r].rows, p.width * C);
    columns[r] = Readers<T>(weights[r].columns, C);
  }

  const i64 strips = (H + kStrip - 1) / kStrip;
#pragma omp parallel if (std::max(gy_.numel(), gx_.numel()) > kWorthThreads)
  {
    RowSums<T> sums;
#pragma omp for schedule(dynamic)
    for (i64 s = 0; s < N * strips; ++s) {
      const i64 image = s / strips, top = s % strips * kStrip, bottom = std::min(top + kStrip, H);
      std::fill(gx + (image * H + top) * W * C, gx + (image * H + bottom) * W * C, T(0));
      for (i64 r = 0; r < R; ++r) {
        if (weights[r].image != image) continue;
        const i64 first = std::max(rows[r].first, top), last = std::min(rows[r].first + rows[r].items(), bottom);
        for (i64 v = first; v < last; ++v)
          sums(gy + r * p.height * p.width * C, p.width * C, rows[r], v - rows[r].first, columns[r], C, true,
               gx + ((image * H + v) * W + weights[r].left + columns[r].first) * C);
      }
    }
  }
}

void roi_align_cpu(const Tensor& x, const Tensor& rois, const RoiAlignParams& params, Tensor& y) {
  dispatch_float(x.dtype(), "roi_align", [&]<class T>() { forward<T>(x, rois, params, y); });
}

void roi_align_backward_cpu(const Tensor& gy, const Tensor& rois, const RoiAlignParams& params, Tensor& gx) {
  dispatch_float(gy.dtype(), "roi_align_backward", [&]<class T>() { backward<T>(gy, rois, params, gx); });
}

const bool kAdded = roi_align_kernels.add(DeviceKind::kCpu, roi_align_cpu) &&
                    roi_align_backward_kernels.add(DeviceKind::kCpu, roi_align_backward_cpu);

}  // namespace
}  // namespace tessera::ops
