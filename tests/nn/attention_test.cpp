#include "nn/attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tensor/allocator.h"
#include "tests/ops/compare.h"
#include "tests/ops/naive.h"
#include "tests/support/check_error.h"

namespace tessera::test {
namespace {

// Head by head and query by query.
Tensor naive_attend(const Tensor& q, const Tensor& k, const Tensor& v, i64 heads) {
  const i64 N = q.dim(0), Q = q.dim(1), E = q.dim(2), K = k.dim(1), D = E / heads;
  Tensor y = Tensor::zeros(q.shape(), DType::kF64);
  for (i64 n = 0; n < N; ++n)
    for (i64 h = 0; h < heads; ++h)
      for (i64 i = 0; i < Q; ++i) {
        std::vector<double> weight(static_cast<size_t>(K));
        double sum = 0;
        for (i64 j = 0; j < K; ++j) {
          double score = 0;
          for (i64 d = h * D; d < (h + 1) * D; ++d) score += at(q, n, i, d) * at(k, n, j, d);
          sum += weight[static_cast<size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(D)));
        }
        for (i64 j = 0; j < K; ++j)
          for (i64 d = h * D; d < (h + 1) * D; ++d)
            at(y, n, i, d) += weight[static_cast<size_t>(j)] / sum * at(v, n, j, d);
      }
  return y;
}

}  // namespace

TEST_CASE("attend: softmax(q k^T / sqrt(D)) v, head by head") {
  Random random(3);
  for (const i64 heads : {1, 2, 4})
    for (const i64 Q : {0, 1, 5})
      for (const i64 K : {1, 7, 33}) {
        INFO("heads ", heads, " Q ", Q, " K ", K);
        const Tensor q = random_tensor(random, {2, Q, 8}, DType::kF64),
                     k = random_tensor(random, {2, K, 8}, DType::kF64);
        const Tensor v = random_tensor(random, {2, K, 8}, DType::kF64);
        CHECK(difference(nn::attend(Var(q), Var(k), Var(v), heads).value(), naive_attend(q, k, v, heads)) < 1e-13);
      }
}

TEST_CASE("attend: wrong shapes are named") {
  const auto var = [](const Shape& shape) { return Var(Tensor::zeros(shape)); };
  CHECK_ERROR(nn::attend(var({2, 3, 8}), var({2, 4, 8}), var({2, 4, 8}), 3), "8 channels cannot be split into 3 heads");
  CHECK_ERROR(nn::attend(var({2, 3, 8}), var({1, 4, 8}), var({2, 4, 8}), 2), "key must be [2, 4, 8], got [1, 4, 8]");
  CHECK_ERROR(nn::attend(var({2, 3, 8}), var({2, 4, 8}), var({2, 5, 8}), 2), "value must be [2, 4, 8], got [2, 5, 8]");
  CHECK_ERROR(nn::attend(var({2, 3, 8}), var({2, 0, 8}), var({2, 0, 8}), 2), "no keys for 3 queries");
  CHECK_ERROR(nn::attend(var({3, 8}), var({2, 0, 8}), var({2, 0, 8}), 2), "the query must be [N, Q, E]");
}

TEST_CASE("MultiheadAttention: PyTorch's names, and a gradient for every parameter and input") {
  Random random(3);
  nn::MultiheadAttention attention(16, 4, random);
  std::vector<std::string> names;
  for (const auto& [name, parameter] : nn::named_parameters(attention)) names.push_back(name);
  CHECK(names == std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
  const Var query(random_tensor(random, {2, 5, 16}, DType::kF32), true);
  const Var key(random_tensor(random, {2, 7, 16}, DType::kF32), true);
  const Var value(random_tensor(random, {2, 7, 16}, DType::kF32), true);
  const Var y = attention(query, key, value);
  CHECK(y.shape() == Shape{2, 5, 16});
  y.backward(random_tensor(random, y.shape(), DType::kF32));
  std::vector<const Var*> all = {&query, &key, &value};
  for (const auto& [name, parameter] : nn::named_parameters(attention)) all.push_back(parameter);
  for (const Var* var : all) {
    REQUIRE(var->grad().defined());
    double sum = 0;
    for (const float g : var->grad().span<float>()) sum += std::abs(static_cast<double>(g));
    CHECK(std::isfinite(sum));
    CHECK(sum > 0);
  }
}

}  // namespace tessera::test
