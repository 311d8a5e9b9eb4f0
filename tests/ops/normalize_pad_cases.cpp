// Cases of normalize_pad.
#include "ops/normalize_pad.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// The results are whole numbers: they can be compared exactly. tests/models/batch_images_test.cpp has the usual ones.
constexpr std::array<float, 3> kMean = {123.5f, 116.25f, 0}, kStd = {0.5f, 0.25f, 1};

References naive_batch(const Tensors& images, i64 height, i64 width) {
  Tensor y = Tensor::zeros({std::ssize(images), height, width, 3}, DType::kF64);
  for (i64 n = 0; n < std::ssize(images); ++n) {
    const Tensor image = images[static_cast<size_t>(n)].to(DType::kF64);
    for (i64 Y = 0; Y < image.dim(0); ++Y)
      for (i64 X = 0; X < image.dim(1); ++X)
        for (i64 c = 0; c < 3; ++c) {
          const auto channel = static_cast<size_t>(c);
          at(y, n, Y, X, c) = (at(image, Y, X, c) - double{kMean[channel]}) / double{kStd[channel]};
        }
  }
  return y;
}

}  // namespace

OP_CASES(normalize_pad) {
  struct Size {
    i64 h, w;
  };
  const auto one = [&](const std::string& name, const std::vector<Size>& sizes, i64 height, i64 width) {
    std::vector<Input> in;
    for (const auto& [h, w] : sizes) in.push_back(integers({h, w, 3}, 0, 255));
    add({.name = fmt::format("{} in {}x{}", name, height, width),
         .in = in,
         .run =
             [=](const Vars& v) {
               std::vector<Tensor> images;
               for (const Var& image : v) images.push_back(image.value().to(DType::kU8));
               return Var(ops::normalize_pad(images, kMean, kStd, height, width).to(DType::kI64));
             },
         .reference = [=](const Tensors& t) { return naive_batch(t, height, width); }});
  };
  one("one picture that fills it", {{7, 9}}, 7, 9);
  one("three of different sizes", {{7, 9}, {3, 16}, {8, 2}}, 8, 16);
  one("wider than a block", {{5, 171}, {4, 300}}, 6, 320);
  one("one pixel", {{1, 1}}, 4, 4);
  one("one column, one row", {{40, 1}, {1, 33}}, 40, 33);
  one("a picture without pixels", {{0, 3}, {2, 2}}, 2, 3);

  const auto run = [](const Shape& image, DType dtype, i64 height, i64 width, float std = 1) {
    ops::normalize_pad({Tensor::zeros(image, dtype)}, kMean, {1, std, 1}, height, width);
  };
  error("no pictures", "normalize_pad: no pictures", [] { ops::normalize_pad({}, kMean, kStd, 4, 4); });
  error("channels", "normalize_pad: a picture must be u8 [h, w, 3], got u8 [4, 4, 1]", [=] {
    run({4, 4, 1}, DType::kU8, 4, 4);
  });
  error("dtype", "normalize_pad: a picture must be u8 [h, w, 3], got f32 [4, 4, 3]", [=] {
    run({4, 4, 3}, DType::kF32, 4, 4);
  });
  error("too wide", "normalize_pad: a picture of 4 x 5 does not fit into 4 x 4", [=] {
    run({4, 5, 3}, DType::kU8, 4, 4);
  });
  error("std", "normalize_pad: std must be positive, got 0", [=] { run({4, 4, 3}, DType::kU8, 4, 4, 0); });
}

}  // namespace tessera::test
