#include <cmath>

#include "autograd/pool.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// The number of windows along one axis, counted: windows start every `stride` pixels from -padding; the last either
// ends inside the padded map or, with ceil_mode, is the first to reach its end, unless it starts in the right padding.
i64 count_windows(i64 in, const ops::Pool2dParams& p) {
  i64 count = 0;
  for (i64 start = -p.padding;; start += p.stride) {
    const bool inside = start + p.kernel <= in + p.padding;
    const bool hangs_over = p.ceil_mode && start < in && start - p.stride + p.kernel < in + p.padding;
    if (!inside && !hangs_over) return count;
    ++count;
  }
}

References naive_pool(const Tensor& x, const ops::Pool2dParams& p, bool maximum) {
  Tensor y = Tensor::empty({x.dim(0), count_windows(x.dim(1), p), count_windows(x.dim(2), p), x.dim(3)}, DType::kF64);
  for (i64 n = 0; n < y.dim(0); ++n)
    for (i64 i = 0; i < y.dim(1); ++i)
      for (i64 j = 0; j < y.dim(2); ++j)
        for (i64 c = 0; c < y.dim(3); ++c) {
          double best = -INFINITY, sum = 0, pixels = 0, cells = 0;
          for (i64 h = i * p.stride - p.padding; h < i * p.stride - p.padding + p.kernel; ++h)
            for (i64 w = j * p.stride - p.padding; w < j * p.stride - p.padding + p.kernel; ++w) {
              cells += h < x.dim(1) + p.padding && w < x.dim(2) + p.padding;
              if (h < 0 || h >= x.dim(1) || w < 0 || w >= x.dim(2)) continue;
              const double value = at(x, n, h, w, c);
              best = std::isnan(best) || std::isnan(value) ? NAN : std::max(best, value);
              sum += value;
              ++pixels;
            }
          at(y, n, i, j, c) = maximum ? best : sum / (p.count_include_pad ? cells : pixels);
        }
  return y;
}

References naive_adaptive(const Tensor& x, i64 height, i64 width) {
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)}, DType::kF64);
  const auto begin = [](i64 o, i64 in, i64 out) {
    return static_cast<i64>(std::floor(double(o) * double(in) / double(out)));
  };
  const auto end = [](i64 o, i64 in, i64 out) {
    return static_cast<i64>(std::ceil(double(o + 1) * double(in) / double(out)));
  };
  for (i64 n = 0; n < y.dim(0); ++n)
    for (i64 i = 0; i < height; ++i)
      for (i64 j = 0; j < width; ++j)
        for (i64 c = 0; c < y.dim(3); ++c) {
          double sum = 0, pixels = 0;
          for (i64 h = begin(i, x.dim(1), height); h < end(i, x.dim(1), height); ++h)
            for (i64 w = begin(j, x.dim(2), width); w < end(j, x.dim(2), width); ++w, ++pixels)
              sum += at(x, n, h, w, c);
          at(y, n, i, j, c) = sum / pixels;
        }
  return y;
}

}  // namespace

OP_CASES(pool) {
  in_bf16();
  const auto max_case = [&](const std::string& name, const Input& x, const ops::Pool2dParams& p, bool gradient) {
    add({.op = "max_pool2d",
         .name = fmt::format("{} k={} s={} p={} ceil={}", name, p.kernel, p.stride, p.padding, p.ceil_mode),
         .in = {x},
         .run = [=](const Vars& v) { return max_pool2d(v[0], p); },
         .reference = [=](const Tensors& t) { return naive_pool(t[0], p, true); },
         .grad = gradient ? std::vector<int>{0} : std::vector<int>{}});
  };
  const auto average_case = [&](const Shape& shape, const ops::Pool2dParams& p) {
    add({.op = "avg_pool2d",
         .name = fmt::format("{} k={} s={} p={} ceil={} pad counts={}", shape, p.kernel, p.stride, p.padding,
                             p.ceil_mode, p.count_include_pad),
         .in = {uniform(shape)},
         .run = [=](const Vars& v) { return avg_pool2d(v[0], p); },
         .reference = [=](const Tensors& t) { return naive_pool(t[0], p, false); },
         .grad = {0},
         .reduction = static_cast<double>(p.kernel * p.kernel)});
  };
  for (bool ceil : {false, true})
    for (const auto& [kernel, stride, padding] :
         {std::array<i64, 3>{1, 1, 0}, {2, 2, 0}, {3, 2, 1}, {3, 1, 1}, {2, 3, 1}, {4, 3, 2}, {3, 5, 1}, {5, 2, 2}}) {
      max_case("map", spread({2, 7, 6, 5}), {kernel, stride, padding, ceil}, true);
      for (bool counts : {false, true}) average_case({2, 7, 6, 5}, {kernel, stride, padding, ceil, counts});
    }
  max_case("one pixel", spread({1, 1, 1, 3}), {3, 2, 1}, true);
  max_case("window larger than the map", spread({1, 2, 3, 2}), {4, 3, 0, true}, true);
  max_case("no images", spread({0, 4, 4, 3}), {2, 2, 0}, true);
  max_case("no channels", spread({1, 4, 4, 0}), {2, 2, 0}, true);
  max_case("wide", spread({1, 40, 33, 17}), {3, 2, 1}, true);
  max_case("channels by eight", spread({1, 9, 7, 16}), {3, 2, 1}, true);
  average_case({1, 9, 7, 16}, {3, 2, 1, false, false});
  max_case("NaN and infinities", values({1, 3, 3, 1}, {1, NAN, 2, -INFINITY, 3, INFINITY, 0, -1, 4}), {2, 1, 0}, false);
  max_case("minus infinity only", constant({1, 3, 3, 2}, -INFINITY), {3, 2, 1}, false);
  average_case({1, 1, 1, 3}, {3, 2, 1});
  average_case({0, 4, 4, 3}, {2, 2, 0});
  average_case({1, 40, 33, 17}, {3, 2, 1});

  for (const auto& [height, width] : {std::array<i64, 2>{1, 1}, {2, 2}, {3, 3}, {6, 6}, {7, 6}, {2, 5}, {10, 9}})
    add({.op = "adaptive_avg_pool2d",
         .name = fmt::format("7x6 to {}x{}", height, width),
         .in = {uniform({2, 7, 6, 5})},
         .run = [=](const Vars& v) { return adaptive_avg_pool2d(v[0], height, width); },
         .reference = [=](const Tensors& t) { return naive_adaptive(t[0], height, width); },
         .grad = {0},
         .reduction = 42});
  add({.op = "adaptive_avg_pool2d",
       .name = "no images",
       .in = {uniform({0, 7, 6, 5})},
       .run = [](const Vars& v) { return adaptive_avg_pool2d(v[0], 2, 3); },
       .reference = [](const Tensors& t) { return naive_adaptive(t[0], 2, 3); },
       .grad = {0}});

  const auto zeros = [](const Shape& shape) { return Var(Tensor::zeros(shape)); };
  error("max_pool2d", "rank 3", "max_pool2d: x must be [N, H, W, C], got [4, 4, 3]", [=] {
    max_pool2d(zeros({4, 4, 3}), {});
  });
  error("max_pool2d", "padding beyond half the kernel",
        "max_pool2d: padding must lie between 0 and half the kernel, got padding 2 for kernel 3", [=] {
          max_pool2d(zeros({1, 4, 4, 3}), {3, 2, 2});
        });
  error("max_pool2d", "window larger than the map",
        "max_pool2d: a window of 4 does not fit into 2 pixels with padding 0; x [1, 2, 5, 3]", [=] {
          max_pool2d(zeros({1, 2, 5, 3}), {4, 2, 0});
        });
  error("max_pool2d", "stride 0", "kernel and stride must be at least 1, got 2 and 0", [=] {
    max_pool2d(zeros({1, 4, 4, 3}), {2, 0, 0});
  });
  error("max_pool2d", "no pixels", "max_pool2d: x has no pixels: [1, 0, 4, 3]", [=] {
    max_pool2d(zeros({1, 0, 4, 3}), {2, 1, 1});
  });
  error("max_pool2d", "u8", "max_pool2d: dtype u8 is not supported", [=] {
    max_pool2d(Var(Tensor::zeros({1, 4, 4, 3}, DType::kU8)), {});
  });
  error("avg_pool2d", "negative padding", "avg_pool2d: padding must lie", [=] {
    avg_pool2d(zeros({1, 4, 4, 3}), {2, 2, -1});
  });
  error("adaptive_avg_pool2d", "no bins", "adaptive_avg_pool2d: the output must have pixels, asked for 0 x 2", [=] {
    adaptive_avg_pool2d(zeros({1, 4, 4, 3}), 0, 2);
  });

  bench({.op = "max_pool2d",
         .name = "[1, 320, 320, 64] k=3 s=2 p=1",
         .in = {uniform({1, 320, 320, 64})},
         .run =
             [](const Vars& v) {
               return max_pool2d(v[0], {3, 2, 1});
             },
         .grad = {0},
         .bytes = 1.25 * 320 * 320 * 64 * 4});
}

}  // namespace tessera::test
