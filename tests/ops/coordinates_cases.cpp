#include "ops/coordinates.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

References naive_coordinates(const Tensor& x) {
  const i64 N = x.dim(0), H = x.dim(1), W = x.dim(2);
  Tensor y = Tensor::empty({N, H, W, 2}, DType::kF64);
  const auto between = [](i64 k, i64 size) {
    if (size == 1) return -1.0;
    return (static_cast<double>(k) * 1.0 + static_cast<double>(size - 1 - k) * -1.0) / static_cast<double>(size - 1);
  };
  for (i64 n = 0; n < N; ++n)
    for (i64 i = 0; i < H; ++i)
      for (i64 j = 0; j < W; ++j) {
        at(y, n, i, j, 0) = between(j, W);
        at(y, n, i, j, 1) = between(i, H);
      }
  return y;
}

}  // namespace

OP_CASES(pixel_coordinates) {
  in_bf16();
  for (const Shape& shape : {Shape{2, 5, 7, 3},
                             {1, 1, 1, 1},
                             {1, 1, 4, 2},
                             {3, 6, 1, 2},
                             {1, 300, 301, 1},
                             {0, 4, 4, 2},
                             {2, 0, 3, 1},
                             {1, 3, 0, 1}})
    add({.name = fmt::format("{}", shape),
         .in = {uniform(shape)},
         .run = [](const Vars& v) { return Var(ops::pixel_coordinates(v[0].value())); },
         .reference = [](const Tensors& t) { return naive_coordinates(t[0]); }});
  error("rank 3", "pixel_coordinates: x must be [N, H, W, C], got [2, 3, 4]", [] {
    ops::pixel_coordinates(Tensor::zeros({2, 3, 4}));
  });
}

}  // namespace tessera::test
