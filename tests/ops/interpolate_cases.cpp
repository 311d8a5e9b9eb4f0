#include <cmath>

#include "autograd/interpolate.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using ops::Interpolation;

double source(i64 o, i64 in, i64 out, bool align_corners) {
  const double position = static_cast<double>(o), n = static_cast<double>(in), m = static_cast<double>(out);
  if (align_corners) return out == 1 ? 0 : position * (n - 1) / (m - 1);
  return std::max((position + 0.5) * n / m - 0.5, 0.0);
}

References naive_interpolate(const Tensor& x, i64 height, i64 width, Interpolation mode, bool align_corners) {
  const i64 H = x.dim(1), W = x.dim(2);
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)}, DType::kF64);
  for (i64 n = 0; n < y.dim(0); ++n)
    for (i64 i = 0; i < height; ++i)
      for (i64 j = 0; j < width; ++j)
        for (i64 c = 0; c < y.dim(3); ++c) {
          if (mode == Interpolation::kNearest) {
            at(y, n, i, j, c) = at(x, n, i * H / height, j * W / width, c);
            continue;
          }
          const double v = source(i, H, height, align_corners), u = source(j, W, width, align_corners);
          const i64 top = static_cast<i64>(v), left = static_cast<i64>(u);
          const i64 bottom = std::min(top + 1, H - 1), right = std::min(left + 1, W - 1);
          const double fv = v - static_cast<double>(top), fu = u - static_cast<double>(left);
          at(y, n, i, j, c) = (1 - fv) * ((1 - fu) * at(x, n, top, left, c) + fu * at(x, n, top, right, c)) +
                              fv * ((1 - fu) * at(x, n, bottom, left, c) + fu * at(x, n, bottom, right, c));
        }
  return y;
}

}  // namespace

OP_CASES(interpolate) {
  in_bf16();
  struct Mode {
    const char* name;
    Interpolation mode;
    bool align_corners;
  };
  const auto one = [&](const Mode& m, const Shape& shape, i64 height, i64 width) {
    add({.name = fmt::format("{} {} to {}x{}", m.name, shape, height, width),
         .in = {uniform(shape)},
         .run = [=](const Vars& v) { return interpolate(v[0], height, width, m.mode, m.align_corners); },
         .reference = [=](const Tensors& t) { return naive_interpolate(t[0], height, width, m.mode, m.align_corners); },
         .grad = {0},
         .reduction = 4});
  };
  for (const Mode& m :
       {Mode{"nearest", Interpolation::kNearest, false}, Mode{"bilinear", Interpolation::kBilinear, false},
        Mode{"bilinear align_corners", Interpolation::kBilinear, true}}) {
    for (const auto& [height, width] :
         {std::array<i64, 2>{10, 14}, {5, 7}, {14, 17}, {2, 2}, {1, 1}, {1, 20}, {20, 28}, {3, 9}})
      one(m, {2, 5, 7, 3}, height, width);
    one(m, {2, 5, 7, 1}, 20, 13);
    one(m, {1, 3, 4, 40}, 7, 6);
    one(m, {1, 1, 1, 2}, 5, 3);
    one(m, {0, 3, 4, 2}, 7, 6);
    one(m, {1, 3, 4, 0}, 7, 6);
    one(m, {2, 40, 30, 1}, 160, 121);
  }

  const auto resize = [](const Shape& shape, i64 height, i64 width, Interpolation mode, bool align_corners) {
    return interpolate(Var(Tensor::zeros(shape)), height, width, mode, align_corners);
  };
  error("rank 3", "interpolate: x must be [N, H, W, C], got [4, 4, 3]", [=] {
    resize({4, 4, 3}, 8, 8, Interpolation::kNearest, false);
  });
  error("no pixels in", "interpolate: x has no pixels: [1, 0, 4, 3]", [=] {
    resize({1, 0, 4, 3}, 8, 8, Interpolation::kNearest, false);
  });
  error("no pixels out", "interpolate: the output must have pixels, asked for 8 x 0", [=] {
    resize({1, 4, 4, 3}, 8, 0, Interpolation::kBilinear, false);
  });
  error("nearest with align_corners", "align_corners has no meaning for nearest", [=] {
    resize({1, 4, 4, 3}, 8, 8, Interpolation::kNearest, true);
  });
  error("u8", "interpolate: dtype u8 is not supported", [=] {
    interpolate(Var(Tensor::zeros({1, 4, 4, 3}, DType::kU8)), 8, 8, Interpolation::kNearest);
  });

  for (const auto& [shape, height, width] :
       {std::tuple<Shape, i64, i64>{{100, 160, 160, 1}, 640, 640}, {{1, 40, 40, 256}, 80, 80}})
    bench({.name = fmt::format("bilinear {} to {}x{}", shape, height, width),
           .in = {uniform(shape)},
           .run = [=](const Vars& v) { return interpolate(v[0], height, width, Interpolation::kBilinear); },
           .grad = {0},
           .bytes = 4.0 * static_cast<double>(shape.numel() + shape[0] * height * width * shape[3])});
}

OP_CASES(concat_resized) {
  in_bf16();
  const auto one = [&](const std::vector<Shape>& shapes, i64 height, i64 width, Interpolation mode) {
    std::vector<Input> parts;
    std::vector<int> all;
    for (const Shape& shape : shapes) {
      all.push_back(static_cast<int>(parts.size()));
      parts.push_back(uniform(shape));
    }
    add({.name = fmt::format("{} {} to {}x{}", mode == Interpolation::kNearest ? "nearest" : "bilinear",
                             fmt::join(shapes, " "), height, width),
         .in = parts,
         .run = [=](const Vars& v) { return concat_resized(v, height, width, mode); },
         .reference =
             [=](const Tensors& t) {
               i64 channels = 0, first = 0;
               for (const Tensor& part : t) channels += part.dim(3);
               Tensor y = Tensor::empty({t[0].dim(0), height, width, channels}, DType::kF64);
               for (const Tensor& part : t) {
                 const Tensor resized = naive_interpolate(part, height, width, mode, false)[0];
                 for (i64 n = 0; n < y.dim(0); ++n)
                   for (i64 i = 0; i < height; ++i)
                     for (i64 j = 0; j < width; ++j)
                       for (i64 c = 0; c < part.dim(3); ++c) at(y, n, i, j, first + c) = at(resized, n, i, j, c);
                 first += part.dim(3);
               }
               return y;
             },
         .grad = all,
         .reduction = 4});
  };
  for (const Interpolation mode : {Interpolation::kNearest, Interpolation::kBilinear}) {
    one({{2, 6, 7, 8}, {2, 3, 4, 8}, {2, 1, 1, 16}}, 6, 7, mode);  // the first is copied
    one({{1, 2, 3, 1}, {1, 5, 4, 3}, {1, 3, 3, 4}}, 5, 4, mode);   // odd numbers of channels, places between pieces
    one({{1, 3, 2, 4}}, 5, 5, mode);
    one({{1, 2, 2, 2}, {1, 3, 3, 0}, {1, 9, 8, 2}}, 4, 5, mode);
    one({{0, 2, 2, 2}, {0, 4, 5, 3}}, 4, 5, mode);
  }
  const auto joined = [](const std::vector<Tensor>& parts, i64 height) {
    ops::concat_resized(parts, height, 4, Interpolation::kBilinear);
  };
  error("no parts", "concat_resized: no parts", [=] { joined({}, 4); });
  error("an undefined part", "concat_resized: a part is undefined", [=] { joined({Tensor()}, 4); });
  error("other images", "concat_resized: parts f32 [1, 2, 2, 3] and f32 [2, 2, 2, 3] differ in images or dtype", [=] {
    joined({Tensor::zeros({1, 2, 2, 3}), Tensor::zeros({2, 2, 2, 3})}, 4);
  });
  error("no pixels", "concat_resized: the output must have pixels, asked for 0 x 4", [=] {
    joined({Tensor::zeros({1, 2, 2, 3})}, 0);
  });
}

}  // namespace tessera::test
