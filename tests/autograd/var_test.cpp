// How the tape behaves; the derivatives of the operators are checked by the op cases.
#include "autograd/var.h"

#include <doctest/doctest.h>

#include <algorithm>

#include <thread>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "ops/precision.h"
#include "tests/support/check_error.h"

namespace tessera {

namespace {

Var leaf(const std::vector<double>& values) {
  return Var(Tensor::from(values), true);
}

std::vector<double> list(const Tensor& x) {
  return {x.span<double>().begin(), x.span<double>().end()};
}

using List = std::vector<double>;

TEST_CASE("tape: an observer learns of each leaf when its gradient is final, while backward() still runs") {
  struct Notes : LeafObserver {
    std::vector<const void*> reached, finished;
    std::vector<float> first_of_late;
    const Var* early = nullptr;
    const Var* late = nullptr;
    void begin(const std::vector<const void*>& leaves) override { reached = leaves; }
    void done(const void* leaf) override {
      finished.push_back(leaf);
      if (leaf == late->identity()) CHECK_FALSE(early->grad());  // the early one's is not computed yet
    }
  };
  const Var early(Tensor::full({3}, 2), true), late(Tensor::full({3}, 5), true), unused(Tensor::full({3}, 1), true);
  const Var twice(Tensor::full({3}, 3), true);
  const Var total = sum(exp(early * twice) * late + twice);
  Notes notes;
  notes.early = &early, notes.late = &late;
  total.backward(Tensor::full({}, 1), &notes);
  CHECK(notes.reached.size() == 3);
  REQUIRE(notes.finished.size() == 3);
  CHECK(notes.finished[0] == late.identity());
  CHECK(std::ranges::count(notes.finished, twice.identity()) == 1);
  CHECK(twice.grad());
}

}  // namespace

TEST_CASE("tape: a value used several times receives the sum of its gradients") {
  const Var x = leaf({2, 3});
  sum(x * x + x).backward();
  CHECK(list(x.grad()) == List{5, 7});
}

TEST_CASE("tape: a diamond passes each node once, after all its consumers") {
  const Var x = leaf({3});
  int calls = 0;
  const Var middle = record("middle", x.value().clone(), {x}, [&calls](const Tensor& gy, Gradients& gradients) {
    ++calls;
    gradients.add(0, gy);
  });
  const Var left = middle * 2.0, right = exp(middle * 0.0);  // two ways of different length
  sum(left * right).backward();
  CHECK(calls == 1);
  CHECK(list(x.grad()) == List{2});
}

TEST_CASE("tape: gradients of leaves accumulate over two backwards until they are forgotten") {
  Var x = leaf({1, 2});
  sum(x * 3.0).backward();
  sum(x * 4.0).backward();
  CHECK(list(x.grad()) == List{7, 7});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  sum(x * 4.0).backward();
  CHECK(list(x.grad()) == List{4, 4});
}

TEST_CASE("tape: every leaf's gradient has memory of its own") {
  Var a = leaf({1, 2}), b = leaf({3, 4});
  const Tensor given = Tensor::from(List{1, 1});
  add(a, b).backward(given);  // passes one gradient to both
  CHECK_FALSE(a.grad().same_memory(b.grad()));
  CHECK_FALSE(a.grad().same_memory(given));
  a.grad().fill(9);
  CHECK(list(b.grad()) == List{1, 1});
  CHECK(list(given) == List{1, 1});
}

TEST_CASE("tape: a gradient is not written into while somebody else holds it") {
  const Var x = leaf({1}), y = leaf({1});
  const Var z = x + y;          // x and y receive the same tensor,
  sum(z + x * 5.0).backward();  // and x then more
  CHECK(list(x.grad()) == List{6});
  CHECK(list(y.grad()) == List{1});
}

TEST_CASE("tape: under NoGrad nothing is recorded") {
  const Var x = leaf({1});
  {
    const NoGrad guard;
    CHECK(NoGrad::active());
    CHECK_FALSE((x * x).requires_grad());
    { const NoGrad inner; }
    CHECK(NoGrad::active());
  }
  CHECK_FALSE(NoGrad::active());
  CHECK((x * x).requires_grad());
}

TEST_CASE("tape: values that need no gradient record nothing") {
  const Var x(Tensor::from(List{1, 2}));
  CHECK_FALSE((x * x).requires_grad());
  CHECK_ERROR(sum(x).backward(), "nothing below this value requires a gradient");
  CHECK_ERROR(x.grad(), "does not require a gradient");
}

TEST_CASE("tape: a detached value is a constant") {
  const Var x = leaf({3});
  sum(x * x.detach()).backward();
  CHECK(list(x.grad()) == List{3});
  CHECK(x.detach().value().same_memory(x.value()));
}

TEST_CASE("tape: backward frees what the closures kept, and a second one through the same nodes is an error") {
  const auto kept = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = kept;
  const Var x = leaf({2});
  const Var y = record("keeper", x.value().clone(), {x},
                       [kept = std::move(const_cast<std::shared_ptr<int>&>(kept))](
                           const Tensor& gy, Gradients& gradients) { gradients.add(0, gy); });
  CHECK_FALSE(alive.expired());
  const Var loss = sum(y);
  loss.backward();
  CHECK(alive.expired());
  CHECK_ERROR(loss.backward(), "sum: backward was already run through this node");
  CHECK_ERROR(sum(y).backward(), "keeper: backward was already run through this node");
}

TEST_CASE("tape: an operator without derivative is fine until backward reaches it, which throws with its name") {
  const Var x = leaf({2});
  const Var y = record("round", x.value().clone(), {x}, no_derivative("round"));
  CHECK(y.requires_grad());
  CHECK_ERROR(sum(y).backward(), "round: has no derivative");
  sum(y.detach() * x).backward();
  CHECK(list(x.grad()) == List{2});
}

TEST_CASE("tape: undefined inputs are passed over, and gradients nobody needs are not computed") {
  const Var x = leaf({2}), constant(Tensor::from(List{1}));
  bool needs[3] = {};
  const Var y =
      record("three", x.value().clone(), {x, Var(), constant}, [&needs](const Tensor& gy, Gradients& gradients) {
        for (int i = 0; i < 3; ++i) needs[i] = gradients.needs(i);
        gradients.add(0, gy);
        gradients.add(1, gy);
        gradients.add(2, gy);
      });
  sum(y).backward();
  CHECK(needs[0]);
  CHECK_FALSE(needs[1]);
  CHECK_FALSE(needs[2]);
  CHECK(list(x.grad()) == List{1});
}

TEST_CASE("tape: a cast converts the value, and its gradient back") {
  const Var x(Tensor::from(std::vector<float>{1.5f, -2}), true);
  const Var wide = cast(x, DType::kF64);
  CHECK(list(wide.value()) == List{1.5, -2});
  sum(wide * wide).backward();
  CHECK(x.grad().dtype() == DType::kF32);
  CHECK(list(x.grad().to(DType::kF64)) == List{3, -4});
  CHECK(cast(x, DType::kF32).value().same_memory(x.value()));
}

TEST_CASE("tape: backward needs a scalar, or a gradient of the value's shape") {
  const Var x = leaf({1, 2});
  CHECK_ERROR((x * 2.0).backward(), "backward: a scalar is needed, got [2]");
  CHECK_ERROR((x * 2.0).backward(Tensor::from(List{1})), "backward: the gradient is [1], the value [2]");
  (x * 2.0).backward(Tensor::from(List{1, 10}));
  CHECK(list(x.grad()) == List{2, 20});
}

TEST_CASE("tape: only leaves can start or stop wanting gradients") {
  Var x = leaf({1});
  Var y = x * 2.0;
  CHECK_ERROR(y.set_requires_grad(false), "this is the output of mul_scalar");
  x.set_requires_grad(false);
  CHECK_FALSE((x * 2.0).requires_grad());
  x.set_requires_grad(true);
  CHECK((x * 2.0).requires_grad());
}

TEST_CASE("tape: a backward function runs with the arithmetic of its forward, and other threads have their own") {
  std::vector<Arithmetic> seen;
  const auto noted = [&seen](const Var& x) {
    return record("noted", x.value(), {x}, [&seen](const Tensor& gy, Gradients& gradients) {
      seen.push_back(arithmetic());
      gradients.add(0, gy);
    });
  };
  const Var x = leaf({1});
  Var inner, outer;
  {
    const ArithmeticScope medium({.precision = Precision::kMedium});
    outer = noted(x);
    {
      const ArithmeticScope winograd({.precision = Precision::kHigh, .winograd = true});
      inner = noted(outer);
      std::thread([] { CHECK(precision() == Precision::kHighest); }).join();
    }
    CHECK(precision() == Precision::kMedium);
  }
  CHECK(precision() == Precision::kHighest);
  inner.backward();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].precision == Precision::kHigh);
  CHECK(seen[0].winograd);
  CHECK(seen[1].precision == Precision::kMedium);
  CHECK(!seen[1].winograd);
  CHECK(precision() == Precision::kHighest);
}

TEST_CASE("tape: a chain of many thousand nodes is walked and freed without exhausting the stack") {
  const Var x = leaf({1});
  {
    Var y = x;
    for (int i = 0; i < 200000; ++i) y = add_scalar(y, 1);
    y.backward();
  }
  CHECK(list(x.grad()) == List{1});
  Var y = x;
  for (int i = 0; i < 200000; ++i) y = add_scalar(y, 1);
  CHECK(y.value().item() == 200001);
}

}  // namespace tessera
