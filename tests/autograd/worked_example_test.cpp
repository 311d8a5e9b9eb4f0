// The example of docs/autograd.md, whose numbers stand in the page.
#include <doctest/doctest.h>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"

namespace tessera {

TEST_CASE("tape: the worked example of docs/autograd.md gives the numbers that the page says") {
  const Var x(Tensor::from(std::vector<float>{1, 5}));
  const Var w(Tensor::from(std::vector<float>{3, -1}), true);
  const Var a = w * x;
  const Var r = relu(a);
  const Var s = r + a;
  const Var L = sum(s);
  L.backward();

  const auto list = [](const Tensor& t) { return std::vector<float>(t.span<float>().begin(), t.span<float>().end()); };
  CHECK(list(a.value()) == std::vector<float>{3, -5});
  CHECK(list(r.value()) == std::vector<float>{3, 0});
  CHECK(list(s.value()) == std::vector<float>{6, -5});
  CHECK(L.value().item() == 1);
  CHECK(list(w.grad()) == std::vector<float>{2, 5});
}

}  // namespace tessera
