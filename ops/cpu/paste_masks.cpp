// Pasting of masks on the CPU; ops/paste_masks.h states the formula. Rows and columns separate: for each row of the
// picture two rows of cells are blended into one, with a zero at either end; its pixels are blended from that. Only the
// box's region is visited. Threads share the masks; a mask's sums are those of its rows, in order.
#include "ops/paste_masks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu/simd/paste_masks.h"

namespace tessera::ops {
namespace {

// The pixels [begin, end) of one axis that see the mask, and which two cells each blends: cell[i] - 1 and cell[i],
// where -1 and `cells` are the zeros around the mask.
template <class T>
struct Axis {
  i64 begin = 0, end = 0;
  std::vector<std::int32_t> cell;
  std::vector<T> fraction;

  Axis(double low, double high, i64 pixels, i64 cells) {
    const double size = high - low, n = static_cast<double>(cells), last = static_cast<double>(pixels);
    if (!std::isfinite(size) || !std::isfinite(low) || size == 0) return;
    // p is 0 beyond half a cell outside the box; one pixel more on either side is looked at.
    const double fade = 0.5 * std::abs(size) / n;
    const i64 first = static_cast<i64>(std::clamp(std::floor(std::min(low, high) - fade) - 1, 0.0, last));
    const i64 limit = static_cast<i64>(std::clamp(std::ceil(std::max(low, high) + fade) + 1, 0.0, last));
    for (i64 pixel = first; pixel < limit; ++pixel) {
      const double position = (static_cast<double>(pixel) + 0.5 - low) / size * n - 0.5;
      if (!(position >= -1 && position < n)) {
        if (cell.empty()) continue;
        break;  // the pixels that see the mask lie side by side
      }
      if (cell.empty()) begin = pixel;
      end = pixel + 1;
      const double below = std::floor(position);
      cell.push_back(static_cast<std::int32_t>(below) + 1);
      fraction.push_back(static_cast<T>(position - below));
    }
  }
};

template <class T>
void paste(const Tensor& masks, const Tensor& boxes, double threshold, Tensor& regions, Tensor& areas, Tensor& sums,
           Tensor& pasted) {
  const i64 R = masks.dim(0), h = masks.dim(1), w = masks.dim(2), H = pasted.dim(1), W = pasted.dim(2);
  const auto paste_one_row = simd::paste_row.get<T>();
#pragma omp parallel for schedule(dynamic) if (R > 1 && pasted.numel() > 1 << 15)
  for (i64 r = 0; r < R; ++r) {
    const T *mask = masks.data<T>() + r * h * w, *box = boxes.data<T>() + r * 4;
    u8* out = pasted.data<u8>() + r * H * W;
    const Axis<T> columns(static_cast<double>(box[0]), static_cast<double>(box[2]), W, w);
    const Axis<T> rows(static_cast<double>(box[1]), static_cast<double>(box[3]), H, h);
    const bool empty = columns.cell.empty() || rows.cell.empty();
    const i64 top = empty ? 0 : rows.begin, bottom = empty ? 0 : rows.end;
    const i64 left = empty ? 0 : columns.begin, right = empty ? 0 : columns.end;
    const i64 region[4] = {left, top, right, bottom};
    std::copy_n(region, 4, regions.data<i64>() + r * 4);

    std::vector<T> cells(static_cast<size_t>(w + 2));  // the blended row between two zeros
    double sum = 0;
    i64 area = 0;
    std::fill(out, out + top * W, u8{0});
    for (i64 y = top; y < bottom; ++y) {
      const size_t i = static_cast<size_t>(y - top);
      const i64 below = rows.cell[i], above = below - 1;  // cells, of which -1 and h are zeros
      const T fraction = rows.fraction[i];
      const T* upper = mask + std::max<i64>(above, 0) * w;
      const T* lower = mask + std::min(below, h - 1) * w;
      const T upper_weight = above >= 0 ? 1 - fraction : T(0), lower_weight = below < h ? fraction : T(0);
      for (i64 x = 0; x < w; ++x) cells[static_cast<size_t>(x + 1)] = upper_weight * upper[x] + lower_weight * lower[x];
      u8* row = out + y * W;
      std::fill(row, row + left, u8{0});
      paste_one_row(cells.data(), columns.cell.data(), columns.fraction.data(), right - left, static_cast<T>(threshold),
                    row + left, &sum, &area);
      std::fill(row + right, row + W, u8{0});
    }
    std::fill(out + bottom * W, out + H * W, u8{0});
    areas.data<i64>()[r] = area;
    sums.data<T>()[r] = static_cast<T>(sum);
  }
}

void paste_masks_cpu(const Tensor& masks, const Tensor& boxes, double threshold, Tensor& regions, Tensor& areas,
                     Tensor& sums, Tensor& pasted) {
  dispatch_float(masks.dtype(), "paste_masks",
                 [&]<class T>() { paste<T>(masks, boxes, threshold, regions, areas, sums, pasted); });
}

const bool kAdded = paste_masks_kernels.add(DeviceKind::kCpu, paste_masks_cpu);

}  // namespace
}  // namespace tessera::ops
