#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/sort.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// Does a stand before b? NaN is the largest, whichever way.
bool before(double a, double b, bool descending) {
  if (std::isnan(a) || std::isnan(b))
    return descending ? std::isnan(a) && !std::isnan(b) : !std::isnan(a) && std::isnan(b);
  return descending ? a > b : a < b;
}

References naive_sort(const Tensor& x, bool descending) {
  Tensor values = x.clone(), indices = Tensor::empty(x.shape(), DType::kI64);
  const i64 K = x.dim(-1);
  for (i64 row = 0; K > 0 && row < x.numel() / K; ++row) {
    const double* from = x.data<double>() + row * K;
    i64* index = indices.data<i64>() + row * K;
    std::iota(index, index + K, i64{0});
    std::stable_sort(index, index + K, [&](i64 a, i64 b) { return before(from[a], from[b], descending); });
    for (i64 j = 0; j < K; ++j) values.data<double>()[row * K + j] = from[index[j]];
  }
  return {values, indices};
}

}  // namespace

OP_CASES(sort) {
  for (const bool descending : {false, true}) {
    const auto one = [&](const std::string& name, const Input& x, bool grad) {
      add({.name = fmt::format("{}{}", name, descending ? " descending" : ""),
           .in = {x},
           .run =
               [=](const Vars& v) {
                 const Sorted sorted = sort(v[0], descending);
                 return Outputs{sorted.values, Var(sorted.indices)};
               },
           .reference = [=](const Tensors& t) { return naive_sort(t[0], descending); },
           .grad = grad ? std::vector<int>{0} : std::vector<int>{}});
    };
    one("[7]", spread({7}), true);
    one("[2, 3, 50]", spread({2, 3, 50}), true);
    one("beyond the short rows [2, 300]", spread({2, 300}), true);
    one("[3, 256]", uniform({3, 256}), false);
    one("[3, 257]", uniform({3, 257}), false);
    one("longer than a tile [2, 2049]", spread({2, 2049}), true);
    one("five tiles [10000]", spread({10000}), false);
    one("one number", spread({1}), true);
    one("rows of one", spread({5, 1}), true);
    one("nothing", uniform({0}), false);
    one("rows of nothing", uniform({3, 0}), false);
    one("no rows", uniform({0, 3}), false);
    one("equal numbers keep their order", values({8}, {1, 0, 1, -0.0, 2, 0.0, 1, -0.0}), false);
    one("all equal, long", constant({2, 1000}, 3), false);
    one("all equal, longer than a tile", constant({5000}, 3), false);
    one("NaN and infinities", values({9}, {1, NAN, -INFINITY, 2, INFINITY, NAN, -3, -NAN, INFINITY}), false);
    one("large and small", values({9}, {1e30, -1e30, 1e-30, -1e-30, 1e-42, -1e-42, 0, 3e38, -3e38}), false);
  }
  error("no dimension", "sort: x must be", [] { sort(Var(Tensor::zeros({})), false); });
  error("integers", "sort: dtype i64 is not supported", [] { sort(Var(Tensor::zeros({3}, DType::kI64)), false); });
  bench({.name = "[100, 1000]",
         .in = {uniform({100, 1000})},
         .run = [](const Vars& v) { return sort(v[0], true).values; },
         .bytes = 16.0 * 100 * 1000});
}

}  // namespace tessera::test
