// Pasting of masks on the CPU; ops/paste_masks.h states the formula. Rows and columns separate: for each row of the
// picture two rows of cells are blended into one, with a zero at either end; its pixels are blended from that. Only the
// box's region is visited. Threads share the masks; a mask's sums are those of its rows, in order.
#include "ops/paste_masks.h"

#include <algorithm>
#include <vector>

#include "ops/cpu/simd/paste_masks.h"
#include "ops/scalar/paste_masks.h"

namespace tessera::ops {
namespace {

// What the loops along the pixels of an axis read of it.
template <class T>
struct Axis : scalar::PasteAxis {
  std::vector<i32> cell;
  std::vector<T> fraction;

  Axis(T from, T to, i64 pixels, i64 cells)
      : PasteAxis(static_cast<double>(from), static_cast<double>(to), pixels, cells) {
    for (i64 pixel = begin; pixel < end; ++pixel) {
      const auto at = cells_of<T>(pixel);
      cell.push_back(static_cast<i32>(at.cell));
      fraction.push_back(at.fraction);
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
    const Axis<T> columns(box[0], box[2], W, w), rows(box[1], box[3], H, h);
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
      const auto at = rows.template cells_of<T>(y);
      const T *upper = mask + at.upper() * w, *lower = mask + at.lower(h) * w;
      const T upper_weight = at.upper_weight(), lower_weight = at.lower_weight(h);
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
