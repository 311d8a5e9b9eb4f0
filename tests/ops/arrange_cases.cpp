// Cases of the operators that rearrange.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "ops/arrange.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using Index = std::vector<i64>;

Index unravel(const Shape& shape, i64 i) {
  Index index(static_cast<size_t>(shape.rank()));
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[static_cast<size_t>(d)] = i % shape[d];
    i /= shape[d];
  }
  return index;
}

i64 ravel(const Shape& shape, const Index& index) {
  i64 offset = 0;
  for (int d = 0; d < shape.rank(); ++d) offset = offset * shape[d] + index[static_cast<size_t>(d)];
  return offset;
}

// y[index] = x[from(index)], element by element
template <class From>
Tensor naive_move(const Tensor& x, const Shape& shape, From from) {
  Tensor y = Tensor::empty(shape, DType::kF64);
  for (i64 i = 0; i < y.numel(); ++i) y.data<double>()[i] = x.data<double>()[ravel(x.shape(), from(unravel(shape, i)))];
  return y;
}

References naive_permute(const Tensor& x, const std::vector<int>& order) {
  Shape shape;
  for (int d : order) shape.append(x.dim(d));
  return naive_move(x, shape, [&](const Index& y) {
    Index index(y.size());
    for (size_t d = 0; d < y.size(); ++d) index[static_cast<size_t>(order[d])] = y[d];
    return index;
  });
}

Tensor naive_slice(const Tensor& x, int axis, i64 begin, i64 end) {
  Shape shape = x.shape();
  shape[axis] = end - begin;
  return naive_move(x, shape, [&](Index index) {
    index[static_cast<size_t>(axis)] += begin;
    return index;
  });
}

References naive_concat(const Tensors& parts, int axis) {
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  for (const Tensor& part : parts) shape[axis] += part.dim(axis);
  Tensor y = Tensor::empty(shape, DType::kF64);
  for (i64 i = 0; i < y.numel(); ++i) {
    Index index = unravel(shape, i);
    i64& along = index[static_cast<size_t>(axis)];
    size_t part = 0;
    while (along >= parts[part].dim(axis)) along -= parts[part++].dim(axis);
    y.data<double>()[i] = parts[part].data<double>()[ravel(parts[part].shape(), index)];
  }
  return y;
}

References naive_top_k(const Tensor& x, i64 k) {
  const i64 n = x.dim(-1), rows = n ? x.numel() / n : 0;
  Shape shape = x.shape();
  shape[-1] = k;
  Tensor values = Tensor::empty(shape, DType::kF64), indices = Tensor::empty(shape, DType::kI64);
  for (i64 row = 0; row < rows; ++row) {
    const double* v = x.data<double>() + row * n;
    std::vector<i64> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](i64 a, i64 b) { return v[a] > v[b]; });
    for (i64 i = 0; i < k; ++i) {
      indices.data<i64>()[row * k + i] = order[static_cast<size_t>(i)];
      values.data<double>()[row * k + i] = v[order[static_cast<size_t>(i)]];
    }
  }
  return {values, indices};
}

Var square(const Var& x) {
  return x * x;
}
Var zeros(const Shape& shape) {
  return Var(Tensor::zeros(shape));
}

}  // namespace

OP_CASES(arrange) {
  in_bf16();
  // all orders of three dimensions; the usual ones of four; nothing moves; more than one tile; sizes of 1
  struct Order {
    Shape shape;
    std::vector<int> order;
  };
  for (const Order& o :
       {Order{{2, 3, 5}, {0, 1, 2}}, Order{{2, 3, 5}, {0, 2, 1}}, Order{{2, 3, 5}, {1, 0, 2}},
        Order{{2, 3, 5}, {1, 2, 0}}, Order{{2, 3, 5}, {2, 0, 1}}, Order{{2, 3, 5}, {2, 1, 0}},
        Order{{2, 4, 3, 5}, {0, 3, 1, 2}}, Order{{2, 4, 3, 5}, {0, 2, 3, 1}}, Order{{2, 4, 3, 5}, {0, 2, 1, 3}},
        Order{{2, 4, 3, 5}, {3, 2, 1, 0}}, Order{{1, 4, 1, 5}, {3, 2, 0, 1}}, Order{{4}, {0}}, Order{{}, {}},
        Order{{2, 0, 3}, {2, 1, 0}}, Order{{2, 3, 2, 2, 3}, {4, 1, 3, 0, 2}}})
    add({.op = "permute",
         .name = fmt::format("{} to [{}]", o.shape, fmt::join(o.order, ", ")),
         .in = {uniform(o.shape)},
         .run = [=](const Vars& v) { return permute(v[0], o.order); },
         .reference = [=](const Tensors& t) { return naive_permute(t[0], o.order); },
         .grad = {0}});
  for (const Order& o :
       {Order{{2, 67, 130}, {0, 2, 1}}, Order{{33, 2, 65}, {2, 1, 0}}, Order{{3, 65, 40, 7}, {0, 2, 1, 3}}})
    add({.op = "permute",
         .name = fmt::format("many tiles, {} to [{}]", o.shape, fmt::join(o.order, ", ")),
         .in = {uniform(o.shape)},
         .run = [=](const Vars& v) { return permute(v[0], o.order); },
         .reference = [=](const Tensors& t) { return naive_permute(t[0], o.order); }});
  error("permute", "a dimension twice", "permute: [1, 1] is not an order of the dimensions of [2, 3]", [] {
    permute(zeros({2, 3}), {1, 1});
  });
  error("permute", "too few dimensions", "permute: [0] is not an order of the dimensions of [2, 3]", [] {
    permute(zeros({2, 3}), {0});
  });
  bench({.op = "permute",
         .name = "[4, 6400, 64] to [0, 2, 1]",
         .in = {uniform({4, 6400, 64})},
         .run =
             [](const Vars& v) {
               return permute(v[0], {0, 2, 1});
             },
         .bytes = 8.0 * 4 * 6400 * 64});

  add({.op = "reshape",
       .name = "[2, 6] to [3, 4]",
       .in = {uniform({2, 6})},
       .run =
           [](const Vars& v) {
             return square(reshape(v[0], {3, 4}));
           },
       .reference =
           [](const Tensors& t) {
             Tensor y = t[0].clone().reshape({3, 4});
             for (double& v : y.span<double>()) v *= v;
             return y;
           },
       .grad = {0}});

  for (int dim : {0, 1, 2}) {
    add({.op = "slice",
         .name = fmt::format("dim {}", dim),
         .in = {uniform({4, 5, 6})},
         .run = [=](const Vars& v) { return slice(v[0], dim, 1, 3); },
         .reference = [=](const Tensors& t) { return naive_slice(t[0], dim, 1, 3); },
         .grad = {0}});
    for (i64 other : {0, 1, 4})
      add({.op = "concat",
           .name = fmt::format("dim {}, a part of size {}", dim, other),
           .in = {uniform({2, 2, 2}), uniform({dim == 0 ? other : 2, dim == 1 ? other : 2, dim == 2 ? other : 2}),
                  uniform({2, 2, 2})},
           .run = [=](const Vars& v) { return concat(v, dim - 3); },
           .reference = [=](const Tensors& t) { return naive_concat(t, dim); },
           .grad = {0, 1, 2}});
  }
  add({.op = "slice",
       .name = "nothing",
       .in = {uniform({4, 5})},
       .run = [](const Vars& v) { return slice(v[0], -1, 2, 2); },
       .reference = [](const Tensors& t) { return naive_slice(t[0], 1, 2, 2); },
       .grad = {0}});
  add({.op = "concat",
       .name = "one part twice",
       .in = {uniform({2, 3})},
       .run =
           [](const Vars& v) {
             return concat({v[0], v[0]}, 1);
           },
       .reference =
           [](const Tensors& t) {
             return naive_concat({t[0], t[0]}, 1);
           },
       .grad = {0}});
  error("slice", "outside", "slice: range [3, 6) is outside dimension 1 of [4, 5]", [] {
    slice(zeros({4, 5}), 1, 3, 6);
  });
  error("slice", "backwards", "range [3, 1)", [] { slice(zeros({4, 5}), 0, 3, 1); });
  error("concat", "nothing", "concat: no parts", [] { concat({}, 0); });
  error("concat", "other sizes differ", "concat: shapes [2, 3] and [2, 4] differ in more than dimension 0", [] {
    concat({zeros({2, 3}), zeros({2, 4})}, 0);
  });
  error("concat", "other dtype", "concat: dtypes f32 and f64 differ", [] {
    concat({zeros({2}), Var(Tensor::zeros({2}, DType::kF64))}, 0);
  });

  const auto naive_gather = [](const Tensors& t) {
    Shape shape = t[0].shape();
    shape[0] = t[1].numel();
    return naive_move(t[0], shape, [&](Index index) {
      index[0] = t[1].data<i64>()[index[0]];
      return index;
    });
  };
  for (const Shape& shape : {Shape{5, 3, 2}, Shape{5}, Shape{5, 0}})
    add({.op = "gather_rows",
         .name = fmt::format("{}, rows repeat", shape),
         .in = {uniform(shape), indices({7}, {4, 0, 0, 2, 4, 4, 1})},
         .run = [](const Vars& v) { return gather_rows(v[0], v[1].value()); },
         .reference = naive_gather,
         .grad = {0},
         .reduction = 3});
  add({.op = "gather_rows",
       .name = "no rows",
       .in = {uniform({5, 3}), indices({0}, {})},
       .run = [](const Vars& v) { return gather_rows(v[0], v[1].value()); },
       .reference = naive_gather,
       .grad = {0}});
  for (const Shape& shape : {Shape{3, 4}, Shape{1, 1}, Shape{700, 3}, Shape{0, 4}, Shape{4, 0}})
    add({.op = "flat_rows",
         .name = fmt::format("{}", shape),
         .in = {integers(shape, 0, 6)},
         .run = [](const Vars& v) { return Var(ops::flat_rows(v[0].value(), 7)); },
         .reference =
             [](const Tensors& t) {
               Tensor y = Tensor::empty({t[0].numel()}, DType::kI64);
               for (i64 i = 0, r = 0; r < t[0].dim(0); ++r)
                 for (i64 k = 0; k < t[0].dim(1); ++k, ++i) y.data<i64>()[i] = 7 * r + t[0].data<i64>()[i];
               return y;
             }});
  const auto naive_scatter = [](const Tensors& t, i64 count) {
    Shape shape = t[0].shape();
    shape[0] = count;
    Tensor y = Tensor::zeros(shape, DType::kF64);
    for (i64 i = 0; i < t[0].numel(); ++i) {
      Index index = unravel(t[0].shape(), i);
      index[0] = t[1].data<i64>()[index[0]];
      y.data<double>()[ravel(shape, index)] += t[0].data<double>()[i];
    }
    return y;
  };
  for (const Shape& shape : {Shape{7, 3, 2}, Shape{7}, Shape{7, 50}})
    add({.op = "scatter_add_rows",
         .name = fmt::format("{}, rows repeat", shape),
         .in = {uniform(shape), indices({7}, {4, 0, 0, 2, 4, 4, 1})},
         .run = [](const Vars& v) { return scatter_add_rows(v[0], v[1].value(), 6); },
         .reference = [=](const Tensors& t) { return naive_scatter(t, 6); },
         .grad = {0},
         .reduction = 3});
  add({.op = "scatter_add_rows",
       .name = "more rows than a tile of the sort",
       .in = {uniform({5000, 3}), integers({5000}, 0, 40)},
       .run = [](const Vars& v) { return scatter_add_rows(v[0], v[1].value(), 50); },
       .reference = [=](const Tensors& t) { return naive_scatter(t, 50); },
       .reduction = 5000 / 40});
  add({.op = "slice",
       .name = "long runs",
       .in = {uniform({2, 3, 5003})},
       .run = [](const Vars& v) { return slice(v[0], 1, 1, 3); },
       .reference = [](const Tensors& t) { return naive_slice(t[0], 1, 1, 3); }});
  const Tensor outside = Tensor::from(std::vector<i64>{0, 5}), negative = Tensor::from(std::vector<i64>{-1, 0});
  error("gather_rows", "row 5 of 5", "gather_rows: index 5 at position 1 is outside [0, 5)", [=] {
    gather_rows(zeros({5, 3}), outside);
  });
  error("gather_rows", "indices of a float dtype", "gather_rows: row indices must be i64 of rank 1, got f32 [2]", [] {
    gather_rows(zeros({5, 3}), Tensor::zeros({2}));
  });
  error("flat_rows", "position 5 of 5", "flat_rows: index 5 at position 1 is outside [0, 5)", [=] {
    ops::flat_rows(outside.reshape({1, 2}), 5);
  });
  error("flat_rows", "rank", "flat_rows: indices must be i64 [R, K], got i64 [2]", [=] { ops::flat_rows(outside, 5); });
  error("scatter_add_rows", "row -1", "scatter_add_rows: index -1 at position 0 is outside [0, 5)", [=] {
    scatter_add_rows(zeros({2, 3}), negative, 5);
  });
  error("scatter_add_rows", "more rows than indices", "scatter_add_rows: [3, 3] has 3 rows for 2 indices", [=] {
    scatter_add_rows(zeros({3, 3}), negative, 5);
  });

  only_f32();  // scores are
  for (i64 k : {0, 1, 4, 11}) {
    add({.op = "top_k",
         .name = fmt::format("{} of 11", k),
         .in = {spread({2, 3, 11})},
         .run =
             [=](const Vars& v) {
               const TopK top = top_k(v[0], k);
               return Outputs{top.values, Var(top.indices)};
             },
         .reference = [=](const Tensors& t) { return naive_top_k(t[0], k); },
         .grad = {0}});
    add({.op = "top_k",
         .name = fmt::format("{} of 11, many equal", k),
         .in = {values({1, 11}, {0, 1, 1, -INFINITY, 2, 0, 1, 2, 2, INFINITY, -0.0})},
         .run =
             [=](const Vars& v) {
               const TopK top = top_k(v[0], k);
               return Outputs{top.values, Var(top.indices)};
             },
         .reference = [=](const Tensors& t) { return naive_top_k(t[0], k); }});
  }
  for (const i64 k : {3, 1024, 1025, 5000})  // of rows of several tiles: their best only, or a whole sort
    add({.op = "top_k",
         .name = fmt::format("{} of 5000", k),
         .in = {spread({2, 5000})},
         .run =
             [=](const Vars& v) {
               const TopK top = top_k(v[0], k);
               return Outputs{top.values, Var(top.indices)};
             },
         .reference = [=](const Tensors& t) { return naive_top_k(t[0], k); }});
  error("top_k", "more than there are", "top_k: k = 4 of the last dimension of [2, 3]", [] {
    top_k(zeros({2, 3}), 4);
  });
  error("top_k", "NaN", "top_k: the input [3] contains NaN", [] { top_k(Var(Tensor::full({3}, NAN)), 1); });
}

}  // namespace tessera::test
