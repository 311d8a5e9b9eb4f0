// Cases of the reductions.
#include <algorithm>
#include <cmath>

#include "autograd/reduce.h"
#include "ops/reduce.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// Adds up all elements that share the remaining indices.
Tensor naive_sum(const Tensor& x, const std::vector<int>& dims, bool keepdim, bool mean) {
  std::vector<bool> reduced(static_cast<size_t>(x.rank()), dims.empty());
  for (int dim : dims) reduced[static_cast<size_t>(dim < 0 ? dim + x.rank() : dim)] = true;
  Shape shape;
  i64 count = 1;
  for (int d = 0; d < x.rank(); ++d) {
    if (!reduced[static_cast<size_t>(d)]) {
      shape.append(x.dim(d));
    } else {
      count *= x.dim(d);
      if (keepdim) shape.append(1);
    }
  }
  Tensor y = Tensor::zeros(shape, DType::kF64);
  for (i64 i = 0; i < x.numel(); ++i) {
    i64 rest = i, offset = 0, step = 1;
    for (int d = x.rank() - 1; d >= 0; --d) {
      if (!reduced[static_cast<size_t>(d)]) {
        offset += rest % x.dim(d) * step;
        step *= x.dim(d);
      }
      rest /= x.dim(d);
    }
    y.data<double>()[offset] += x.data<double>()[i] / (mean ? static_cast<double>(count) : 1);
  }
  return y;
}

References naive_max(const Tensor& x, int dim, bool keepdim) {
  Shape shape;
  for (int d = 0; d < x.rank(); ++d)
    if (d != dim || keepdim) shape.append(d == dim ? 1 : x.dim(d));
  Tensor y = Tensor::full(shape, -INFINITY, DType::kF64);
  const i64 inner = x.shape().numel(dim + 1, x.rank());
  for (i64 i = 0; i < x.numel(); ++i) {
    double& largest = y.data<double>()[i / inner / x.dim(dim) * inner + i % inner];
    const double value = x.data<double>()[i];
    if (std::isnan(value) || value > largest) largest = value;
  }
  return y;
}

}  // namespace

OP_CASES(reduce) {
  // One number of many tensors: none of them empty or all, one of several blocks, more than a launch takes.
  std::vector<Shape> many(500, Shape{3});
  for (const auto& [name, shapes] : std::vector<std::pair<std::string, std::vector<Shape>>>{
           {"no element", {{0}, {3, 0}}},
           {"mixed sizes", {{5, 3}, {0}, {40000}, {}, {4096}, {4097}}},
           {"500 tensors", many}}) {
    std::vector<Input> inputs;
    for (const Shape& shape : shapes) inputs.push_back(uniform(shape));
    add({.op = "sum_of_squares",
         .name = name,
         .in = inputs,
         .run =
             [](const Vars& v) {
               Tensors xs;
               for (const Var& x : v) xs.push_back(x.value());
               return Var(ops::sum_of_squares(xs).to(xs[0].dtype()));
             },
         .reference =
             [](const Tensors& t) {
               double sum = 0;
               for (const Tensor& x : t)
                 for (const double value : x.span<double>()) sum += value * value;
               return Tensor::full({1}, sum, DType::kF64);
             }});
  }
  // Rows with one bad value at the beginning, in the middle and at the end, of one chunk and of several.
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{4}, Shape{5, 2, 3}, Shape{5, 70001}})
    add({.op = "mark_non_finite",
         .name = fmt::format("{}", shape),
         .in = {{[=](Random& random) {
           Tensor x = Tensor::empty(shape, DType::kF64);
           random.fill_uniform(x, -3e38, 3e38);
           x = x.to(DType::kF32).to(DType::kF64);
           const i64 count = x.numel() / std::max<i64>(1, shape[0]);
           const double bad[] = {NAN, INFINITY, -INFINITY};
           for (i64 r = 1; r < 4 && count > 0; ++r)
             x.data<double>()[r * count + (r - 1) * (count - 1) / 2] = bad[r - 1];
           return x;
         }}},
         .run = [](const Vars& v) { return Var(ops::mark_non_finite(v[0].value())); },
         .reference =
             [](const Tensors& t) {
               Tensor marks = Tensor::zeros({t[0].dim(0)}, DType::kF64);
               for (i64 i = 0; i < t[0].numel(); ++i)
                 if (!std::isfinite(t[0].data<double>()[i]))
                   marks.data<double>()[i / (t[0].numel() / t[0].dim(0))] = NAN;
               return marks;
             }});
  in_bf16({}, 0x1p-8);  // sums over groups of dimensions are rounded between the groups
  struct Case {
    Shape shape;
    std::vector<int> dims;
  };
  // everything; rows; columns; both sides of a kept dimension; more columns than one tile; more rows than one chunk
  for (const Case& c : {Case{{2, 3, 4, 5}, {}}, Case{{2, 3, 4, 5}, {-1}}, Case{{2, 3, 4, 5}, {0}},
                        Case{{2, 3, 4, 5}, {1, 2}}, Case{{2, 3, 4, 5}, {0, 2}}, Case{{2, 3, 4, 5}, {3, 0}},
                        Case{{2, 1, 3}, {1}}, Case{{5}, {0}}, Case{{3, 70}, {0}}, Case{{}, {}}})
    for (bool keepdim : {false, true}) {
      const std::string name = fmt::format("{} over [{}]{}", c.shape, fmt::join(c.dims, ", "), keepdim ? " kept" : "");
      for (bool average : {false, true})
        add({.op = average ? "mean" : "sum",
             .name = name,
             .in = {uniform(c.shape)},
             .run = [=](const Vars& v) { return average ? mean(v[0], c.dims, keepdim) : sum(v[0], c.dims, keepdim); },
             .reference = [=](const Tensors& t) { return naive_sum(t[0], c.dims, keepdim, average); },
             .grad = {0},
             .reduction = 120});
    }
  for (const Case& c : {Case{{300001}, {}}, Case{{70000, 3}, {0}}, Case{{2, 3000, 67}, {1}}, Case{{3, 50000}, {1}}})
    add({.op = "sum",
         .name = fmt::format("many chunks, {} over [{}]", c.shape, fmt::join(c.dims, ", ")),
         .in = {uniform(c.shape, 0, 1)},  // positive: the relative error is that of the summation
         .run = [=](const Vars& v) { return sum(v[0], c.dims); },
         .reference = [=](const Tensors& t) { return naive_sum(t[0], c.dims, false, false); }});
  for (const Case& c : {Case{{0, 3}, {0}}, Case{{3, 0}, {0}}, Case{{0}, {}}})
    add({.op = "sum",
         .name = fmt::format("nothing to add, {} over [{}]", c.shape, fmt::join(c.dims, ", ")),
         .in = {uniform(c.shape)},
         .run = [=](const Vars& v) { return sum(v[0], c.dims); },
         .reference = [=](const Tensors& t) { return naive_sum(t[0], c.dims, false, false); },
         .grad = {0}});
  add({.op = "sum",
       .name = "NaN stays in its column",
       .in = {values({2, 3}, {1, NAN, 2, 3, 4, INFINITY})},
       .run = [](const Vars& v) { return sum(v[0], {0}); },
       .reference = [](const Tensors& t) { return naive_sum(t[0], {0}, false, false); }});

  for (int dim : {0, 1, 2})
    for (bool keepdim : {false, true})
      add({.op = "max",
           .name = fmt::format("dim {}{}", dim, keepdim ? " kept" : ""),
           .in = {spread({4, 5, 6})},
           .run = [=](const Vars& v) { return max(v[0], dim, keepdim); },
           .reference = [=](const Tensors& t) { return naive_max(t[0], dim, keepdim); },
           .grad = {0}});
  add({.op = "max",
       .name = "NaN and infinities",
       .in = {values({4, 2}, {1, NAN, -INFINITY, -INFINITY, INFINITY, 2, NAN, NAN})},
       .run = [](const Vars& v) { return max(v[0], 1); },
       .reference = [](const Tensors& t) { return naive_max(t[0], 1, false); }});

  const auto zeros = [](const Shape& shape) { return Var(Tensor::zeros(shape)); };
  error("sum", "no such dimension", "sum: ", [=] { sum(zeros({2, 3}), {2}); });
  error("sum", "a dimension twice", "sum: dimension -1 of [2, 3] is listed twice", [=] {
    sum(zeros({2, 3}), {1, -1});
  });
  error("mean", "of nothing", "mean: nothing to average, the reduced dimensions of [2, 0] are empty", [=] {
    mean(zeros({2, 0}), {1});
  });
  error("max", "of nothing", "max: dimension 1 of [2, 0] is empty", [=] { max(zeros({2, 0}), 1); });
  for (const Case& c : {Case{{4, 80, 80, 64}, {}}, Case{{4, 80, 80, 64}, {0, 1, 2}}, Case{{4, 80, 80, 64}, {3}}})
    bench({.op = "sum",
           .name = fmt::format("{} over [{}]", c.shape, fmt::join(c.dims, ", ")),
           .in = {uniform(c.shape)},
           .run = [=](const Vars& v) { return sum(v[0], c.dims); },
           .bytes = 4.0 * 4 * 80 * 80 * 64});
}

}  // namespace tessera::test
