// Cases of matmul (also batched) and linear.
#include <algorithm>

#include "autograd/matmul.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

using ops::Transpose;

struct Named {
  Transpose transpose;
  const char* name;
};
constexpr Named kTransposes[] = {{Transpose::kNone, "none"},
                                 {Transpose::kFirst, "first"},
                                 {Transpose::kSecond, "second"},
                                 {Transpose::kBoth, "both"}};

bool first(Transpose t) {
  return t == Transpose::kFirst || t == Transpose::kBoth;
}
bool second(Transpose t) {
  return t == Transpose::kSecond || t == Transpose::kBoth;
}

// c[b, m, n] = sum_k op(a)[b, m, k] op(b)[b, k, n]
References naive_matmul(const Tensors& t, Transpose transpose) {
  const bool batched = t[0].rank() == 3, ta = first(transpose), tb = second(transpose);
  const Tensor a = batched ? t[0] : t[0].reshape({1, t[0].dim(0), t[0].dim(1)});
  const Tensor b = batched ? t[1] : t[1].reshape({1, t[1].dim(0), t[1].dim(1)});
  const i64 B = a.dim(0), M = a.dim(ta ? 2 : 1), K = a.dim(ta ? 1 : 2), N = b.dim(tb ? 1 : 2);
  Tensor c = Tensor::zeros({B, M, N}, DType::kF64);
  for (i64 i = 0; i < B; ++i)
    for (i64 m = 0; m < M; ++m)
      for (i64 n = 0; n < N; ++n)
        for (i64 k = 0; k < K; ++k)
          at(c, i, m, n) += (ta ? at(a, i, k, m) : at(a, i, m, k)) * (tb ? at(b, i, n, k) : at(b, i, k, n));
  return batched ? c : c.reshape({M, N});
}

// y[..., o] = sum_i x[..., i] w[o, i] + b[o]
References naive_linear(const Tensors& t, ops::Activation activation) {
  const i64 I = t[0].dim(-1), O = t[1].dim(0);
  const Tensor x = t[0].reshape({t[0].shape().numel(0, t[0].rank() - 1), I});
  Shape shape = t[0].shape();
  shape[-1] = O;
  Tensor y = Tensor::zeros({x.dim(0), O}, DType::kF64);
  for (i64 r = 0; r < x.dim(0); ++r)
    for (i64 o = 0; o < O; ++o) {
      if (t[2].defined()) at(y, r, o) = at(t[2], o);
      for (i64 i = 0; i < I; ++i) at(y, r, o) += at(x, r, i) * at(t[1], o, i);
      if (activation != ops::Activation::kNone) at(y, r, o) = std::max(at(y, r, o), 0.0);
      if (activation == ops::Activation::kRelu6) at(y, r, o) = std::min(at(y, r, o), 6.0);
    }
  return y.reshape(shape);
}

OpCase product(i64 batch, i64 M, i64 K, i64 N, const Named& t) {
  const i64 am = first(t.transpose) ? K : M, ak = first(t.transpose) ? M : K;
  const i64 bk = second(t.transpose) ? N : K, bn = second(t.transpose) ? K : N;
  const Transpose transpose = t.transpose;
  const auto shape = [=](i64 rows, i64 columns) { return batch ? Shape{batch, rows, columns} : Shape{rows, columns}; };
  return {.name = fmt::format("{}{}x{}x{} transpose={}", batch ? fmt::format("batch={} ", batch) : "", M, K, N, t.name),
          .in = {uniform(shape(am, ak)), uniform(shape(bk, bn))},
          .run = [=](const Vars& v) { return matmul(v[0], v[1], transpose); },
          .reference = [=](const Tensors& in) { return naive_matmul(in, transpose); },
          .grad = {0, 1},
          .reduction = static_cast<double>(std::max({K, M, N}))};
}

}  // namespace

OP_CASES(matmul) {
  in_bf16();
  for (const Named& t : kTransposes) {
    add(product(0, 1, 1, 1, t));
    add(product(0, 7, 5, 3, t));
    add(product(0, 33, 65, 17, t));  // beside every register tile
    add(product(3, 9, 4, 6, t));
    add(product(0, 130, 515, 67, t));  // beyond a block of K, with remainders
  }
  add(product(0, 1, 700, 1, kTransposes[0]));   // a dot product
  add(product(0, 300, 1, 40, kTransposes[0]));  // an outer product
  add(product(0, 1, 33, 2100, kTransposes[0]));
  add(product(0, 1100, 20, 2, kTransposes[2]));
  add(product(40, 2, 3, 2, kTransposes[1]));
  add(product(0, 3, 0, 2, kTransposes[0]));  // an empty sum is zero
  add(product(0, 0, 4, 2, kTransposes[0]));
  add(product(0, 4, 3, 0, kTransposes[0]));
  add({.name = "NaN and infinity propagate",
       .in = {values({2, 2}, {NAN, 0, 1, INFINITY}), values({2, 2}, {0, 1, 2, 0})},
       .run = [](const Vars& v) { return matmul(v[0], v[1]); },
       .reference = [](const Tensors& in) { return naive_matmul(in, Transpose::kNone); }});

  using enum ops::Activation;
  const auto add_linear = [&](const Shape& shape, bool bias, ops::Activation activation) {
    constexpr std::array kNames = {"", " relu", " relu6"};
    add({.op = "linear",
         .name = fmt::format("x={} bias={}{}", shape, bias, kNames.at(static_cast<size_t>(activation))),
         .in = {uniform(shape), uniform({19, shape[-1]}), bias ? uniform({19}) : absent()},
         .run = [=](const Vars& v) { return linear(v[0], v[1], v[2], activation); },
         .reference = [=](const Tensors& t) { return naive_linear(t, activation); },
         .grad = bias ? std::vector<int>{0, 1, 2} : std::vector<int>{0, 1},
         .reduction = 130});
  };
  for (const bool bias : {false, true}) {
    for (const Shape& shape : {Shape{5}, Shape{4, 5}, Shape{2, 3, 5}, Shape{2, 9, 7, 130}, Shape{0, 5}})
      add_linear(shape, bias, kNone);
    for (const ops::Activation activation : {kRelu, kRelu6}) add_linear({9, 130}, bias, activation);
  }

  for (const bool bias : {false, true})  // a library's maximum of NaN and 0 may be 0
    add({.op = "linear",
         .name = fmt::format("bias={} relu: NaN and infinity propagate", bias),
         .in = {values({2, 2}, {NAN, 0, -1, INFINITY}), values({2, 2}, {1, 0, 0, 1}),
                bias ? values({2}, {1, 2}) : absent()},
         .run = [](const Vars& v) { return linear(v[0], v[1], v[2], kRelu); },
         .reference = [](const Tensors& t) { return naive_linear(t, kRelu); }});

  const auto zeros = [](const Shape& shape, DType dtype = DType::kF32) { return Var(Tensor::zeros(shape, dtype)); };
  error("inner sizes", "matmul: inner sizes 3 and 4 differ", [=] { matmul(zeros({2, 3}), zeros({4, 5})); });
  error("batch sizes", "matmul: batch sizes differ", [=] { matmul(zeros({2, 3, 4}), zeros({3, 4, 5})); });
  error("ranks", "matmul: both operands must have rank 2", [=] { matmul(zeros({2, 3}), zeros({1, 3, 5})); });
  error("dtypes", "matmul: b has dtype f64, the first operand f32", [=] {
    matmul(zeros({2, 3}), zeros({3, 5}, DType::kF64));
  });
  error("integers", "matmul: dtype i64", [=] { matmul(zeros({2, 3}, DType::kI64), zeros({3, 5}, DType::kI64)); });
  error("linear", "features", "linear: x has 3 features", [=] { linear(zeros({2, 3}), zeros({4, 5}), Var()); });
  error("linear", "bias", "linear: bias must be [4]", [=] { linear(zeros({2, 3}), zeros({4, 3}), zeros({3})); });

  for (const i64 n : {64, 256, 1024}) {
    OpCase square = product(0, n, n, n, kTransposes[0]);
    square.flops = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    bench(square);
  }
}

}  // namespace tessera::test
