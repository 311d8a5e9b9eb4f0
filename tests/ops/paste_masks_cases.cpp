// Cases of paste_masks.
#include <cmath>

#include "ops/paste_masks.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

double tent(double v, i64 cell) {
  return std::max(0.0, 1 - std::abs(v - static_cast<double>(cell)));
}

// Every pixel of the picture as the formula says, every cell with the weight of a tent.
References naive_paste(const Tensors& t, i64 height, i64 width, double threshold) {
  const Tensor &masks = t[0], &boxes = t[1];
  const i64 R = masks.dim(0), h = masks.dim(1), w = masks.dim(2);
  Tensor pasted = Tensor::zeros({R, height, width}, DType::kF64), areas = Tensor::zeros({R}, DType::kF64),
         sums = Tensor::zeros({R}, DType::kF64);
  for (i64 r = 0; r < R; ++r)
    for (i64 Y = 0; Y < height; ++Y)
      for (i64 X = 0; X < width; ++X) {
        const double u = (static_cast<double>(X) + 0.5 - at(boxes, r, 0)) / (at(boxes, r, 2) - at(boxes, r, 0));
        const double v = (static_cast<double>(Y) + 0.5 - at(boxes, r, 1)) / (at(boxes, r, 3) - at(boxes, r, 1));
        if (!std::isfinite(u) || !std::isfinite(v)) continue;
        double p = 0;
        for (i64 i = 0; i < h; ++i)
          for (i64 j = 0; j < w; ++j)
            p += tent(v * static_cast<double>(h) - 0.5, i) * tent(u * static_cast<double>(w) - 0.5, j) *
                 at(masks, r, i, j);
        if (!(p > threshold)) continue;
        at(pasted, r, Y, X) = 1;
        at(areas, r) += 1;
        at(sums, r) += p;
      }
  return {pasted, areas, sums};
}

}  // namespace

OP_CASES(paste_masks) {
  const auto one = [&](const std::string& name, const Shape& masks, const Input& boxes, i64 height, i64 width,
                       double threshold = 0.5) {
    add({.name = fmt::format("{} masks={} picture={}x{} threshold={}", name, masks, height, width, threshold),
         .in = {uniform(masks, 0, 1), boxes},
         .run =
             [=](const Vars& v) {
               const ops::PastedMasks p = ops::paste_masks(v[0].value(), v[1].value(), height, width, threshold);
               return Outputs{Var(p.masks), Var(p.areas), Var(p.sums)};
             },
         .reference = [=](const Tensors& t) { return naive_paste(t, height, width, threshold); },
         .reduction = static_cast<double>(height * width)});
  };
  one("boxes", {5, 7, 7}, uniform({5, 4}, -4, 30), 20, 24);  // some of them inverted
  one("not square", {3, 4, 9}, values({3, 4}, {2, 3, 17, 12, -5, -6, 40, 30, 3.25, 2.5, 6.75, 14.125}), 19, 23, 0.3);
  one("one cell", {3, 1, 1}, values({3, 4}, {2, 3, 17, 12, 0, 0, 1, 1, 3.25, 2.5, 3.5, 2.75}), 16, 20, 0);
  one("one pixel", {2, 14, 14}, values({2, 4}, {-3, -2, 4, 5, 0, 0, 1, 1}), 1, 1);
  one("far smaller than a pixel", {2, 5, 5}, values({2, 4}, {3.4, 3.4, 3.6, 3.6, 3.9, 3.9, 4, 4}), 8, 8);
  one("far larger than the picture", {2, 5, 5}, values({2, 4}, {-1e6, -1e6, 1e6, 1e6, -3e30, -1e30, 2e30, 3e30}), 9, 6);
  one("outside", {4, 5, 5}, values({4, 4}, {50, 2, 60, 8, -60, 2, -50, 8, 2, 50, 8, 60, 1e30, 1e30, 2e30, 2e30}), 9,
      12);
  one("without width or height, infinite, NaN", {6, 5, 5},
      values({6, 4}, {2, 2, 2, 8, 2, 2, 8, 2, -INFINITY, 0, 5, 5, 0, 0, 5, INFINITY, NAN, 0, 5, 5, 0, 0, 5, NAN}), 9,
      12);
  one("none", {0, 5, 5}, constant({0, 4}, 0), 9, 12);

  const auto run = [](const Shape& masks, const Shape& boxes, i64 height, i64 width, double threshold = 0.5) {
    ops::paste_masks(Tensor::zeros(masks), Tensor::zeros(boxes), height, width, threshold);
  };
  error("rank", "paste_masks: masks must be [R, h, w], got [2, 1, 5, 5]", [=] { run({2, 1, 5, 5}, {2, 4}, 9, 9); });
  error("boxes", "paste_masks: boxes must be [2, 4], got [2, 5]; masks [2, 5, 5]", [=] {
    run({2, 5, 5}, {2, 5}, 9, 9);
  });
  error("cells", "paste_masks: the masks have no cells: [2, 0, 5]", [=] { run({2, 0, 5}, {2, 4}, 9, 9); });
  error("picture", "paste_masks: the picture must have pixels, asked for 9 x 0", [=] { run({2, 5, 5}, {2, 4}, 9, 0); });
  error("threshold", "paste_masks: threshold -0.5 must not be negative", [=] { run({2, 5, 5}, {2, 4}, 9, 9, -0.5); });
  error("dtypes", "paste_masks: boxes must be f32, as the masks", [] {
    ops::paste_masks(Tensor::zeros({1, 2, 2}), Tensor::zeros({1, 4}, DType::kF64), 4, 4);
  });
}

}  // namespace tessera::test
