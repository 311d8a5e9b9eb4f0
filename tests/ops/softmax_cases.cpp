// Cases of softmax, log-softmax and the normalised sigmoid.
#include <cmath>

#include "autograd/softmax.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

References naive_softmax(const Tensor& x, int dim, bool log) {
  const int axis = dim < 0 ? dim + x.rank() : dim;
  const i64 outer = x.shape().numel(0, axis), count = x.dim(axis), inner = x.shape().numel(axis + 1, x.rank());
  Tensor y = x.clone();
  double* v = y.data<double>();
  for (i64 o = 0; o < outer; ++o)
    for (i64 i = 0; i < inner; ++i) {
      double* column = v + o * count * inner + i;
      double largest = -INFINITY, sum = 0;
      for (i64 c = 0; c < count; ++c) largest = std::max(largest, column[c * inner]);
      for (i64 c = 0; c < count; ++c) sum += std::exp(column[c * inner] - largest);
      for (i64 c = 0; c < count; ++c) {
        const double shifted = column[c * inner] - largest;
        column[c * inner] = log ? shifted - std::log(sum) : std::exp(shifted) / sum;
      }
    }
  return y;
}

References naive_normalised_sigmoid(const Tensor& x, int axis) {
  const i64 outer = x.shape().numel(0, axis), count = x.dim(axis), inner = x.shape().numel(axis + 1, x.rank());
  Tensor y = x.clone();
  for (i64 o = 0; o < outer; ++o)
    for (i64 i = 0; i < inner; ++i) {
      double* column = y.data<double>() + o * count * inner + i;
      double sum = 0;
      for (i64 c = 0; c < count; ++c) sum += column[c * inner] = 1 / (1 + std::exp(-column[c * inner]));
      for (i64 c = 0; c < count; ++c) column[c * inner] /= sum < 1e-6 ? 1e-6 : sum;
    }
  return y;
}

}  // namespace

OP_CASES(softmax) {
  for (bool log : {false, true}) {
    const char* op = log ? "log_softmax" : "softmax";
    const auto run = [log](int dim) {
      return [=](const Vars& v) { return log ? log_softmax(v[0], dim) : softmax(v[0], dim); };
    };
    const auto reference = [log](int dim) { return [=](const Tensors& t) { return naive_softmax(t[0], dim, log); }; };
    for (int dim : {0, 1, 2, -1})
      add({.op = op,
           .name = fmt::format("dim {}", dim),
           .in = {uniform({3, 5, 7}, -4, 4)},
           .run = run(dim),
           .reference = reference(dim),
           .grad = {0},
           .reduction = 7});
    add({.op = op,
         .name = "one full tile of columns and a rest",
         .in = {uniform({2, 3, 41}, -4, 4)},
         .run = run(1),
         .reference = reference(1),
         .grad = {0}});
    for (const Shape& shape : {Shape{1, 4}, Shape{4, 1}, Shape{0, 4}, Shape{4, 0}, Shape{1}})
      add({.op = op,
           .name = shape.str(),
           .in = {uniform(shape)},
           .run = run(-1),
           .reference = reference(-1),
           .grad = {0}});
    add({.op = op,
         .name = "rows of 6400",
         .in = {uniform({3, 6400}, -4, 4)},
         .run = run(1),
         .reference = reference(1)});
    add({.op = op,
         .name = "columns of 6400",
         .in = {uniform({2, 6400, 70}, -4, 4)},
         .run = run(1),
         .reference = reference(1)});
    add({.op = op,
         .name = "large values",
         .in = {values({2, 3}, {1e30, 1e30, 0, -1e30, -1e30, -3e30})},
         .run = run(1),
         .reference = reference(1)});
    for (int dim : {0, 1}) {
      add({.op = op,
           .name = fmt::format("-infinity is a zero, dim {}", dim),
           .in = {values({2, 2}, {0, -INFINITY, 1, 2})},
           .run = run(dim),
           .reference = reference(dim)});
      add({.op = op,
           .name = fmt::format("NaN spoils its own slice, dim {}", dim),
           .in = {values({3, 3}, {0, NAN, 1, 1, 2, 3, 3, 5, 6})},
           .run = run(dim),
           .reference = reference(dim)});
    }
    error(op, "dim 3 of rank 3", fmt::format("{}: ", op), [=] { run(3)({Var(Tensor::zeros({2, 3, 5}))}); });
    error(op, "integers", fmt::format("{}: dtype i64 is not supported", op),
          [=] { run(0)({Var(Tensor::zeros({2}, DType::kI64))}); });
    for (const Shape& shape : {Shape{100, 6400}, Shape{1, 6400, 100}, Shape{4096, 81}})
      bench({.op = op,
             .name = shape.str(),
             .in = {uniform(shape, -4, 4)},
             .run = run(1),
             .grad = {0},
             .bytes = 8.0 * static_cast<double>(shape.numel())});
  }

  in_bf16();
  const auto sigmoids = [](const std::string& name, const Input& x, int dim, double longest, bool gradient = true) {
    return OpCase{.op = "normalised_sigmoid",
                  .name = name,
                  .in = {x},
                  .run = [=](const Vars& v) { return normalised_sigmoid(v[0], dim); },
                  .reference = [=](const Tensors& t) { return naive_normalised_sigmoid(t[0], dim); },
                  .grad = gradient ? std::vector<int>{0} : std::vector<int>{},
                  .reduction = longest};
  };
  for (int dim : {0, 1, 2}) add(sigmoids(fmt::format("dim {}", dim), uniform({3, 5, 7}, -4, 4), dim, 7));
  add(sigmoids("one full tile of columns and a rest", uniform({2, 3, 41}, -4, 4), 1, 3));
  for (const Shape& shape : {Shape{1, 4, 1}, Shape{0, 4, 2}, Shape{4, 0, 3}, Shape{2, 3, 0}})
    add(sigmoids(shape.str(), uniform(shape), 1, 1));
  add(sigmoids("columns of 6400", uniform({2, 6400, 70}, -6, 2), 1, 6400));
  add(sigmoids("rows of 6400", uniform({2, 6400}, -6, 2), 1, 6400));
  add(sigmoids("sums below the bound", uniform({2, 3, 4}, -30, -20), 1, 3));
  add(sigmoids("infinities, and NaN spoils its own slice",
               values({3, 3}, {0, NAN, 1, INFINITY, 2, -INFINITY, 3, 5, -1e30}), 0, 3, false));
  error("normalised_sigmoid", "integers", "normalised_sigmoid: dtype i64 is not supported",
        [] { normalised_sigmoid(Var(Tensor::zeros({2}, DType::kI64)), 0); });
  bench({.op = "normalised_sigmoid",
         .name = "[1, 6400, 400]",
         .in = {uniform({1, 6400, 400}, -6, 2)},
         .run = [](const Vars& v) { return normalised_sigmoid(v[0], 1); },
         .grad = {0},
         .bytes = 8.0 * 6400 * 400});
}

}  // namespace tessera::test
