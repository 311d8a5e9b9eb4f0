// Op cases: each operator lists its cases once, and one harness runs every case on every device.
//
//   namespace tessera::test {
//   OP_CASES(softmax) {                                                    // tests/ops/softmax_cases.cpp
//     for (int dim : {0, 1, -1})
//       add({.name = fmt::format("dim={}", dim), .in = {uniform({2, 3, 5}, -4, 4)},
//            .run = [=](const Vars& v) { return softmax(v[0], dim); },     // through autograd, any device
//            .reference = [=](const Tensors& t) { return naive_softmax(t[0], dim); },  // from the formula, all f64
//            .grad = {0}, .reduction = 5});
//     error("integers", "softmax: dtype i64 is not supported",
//           [] { softmax(Var(Tensor::zeros({2}, DType::kI64)), 0); });
//     bench({.name = "[4096, 1024]", .in = {uniform({4096, 1024})}, .run = ..., .bytes = 2.0 * 4096 * 1024 * 4});
//   }
//   }
//
// Every case is checked for: f64 and f32 results against the reference; in f64 the gradient of a random projection of
// the outputs against central differences; the f32 gradient against the f64 one; equal bits when run twice; nothing
// recorded under NoGrad. On devices that store activations as bf16 the cases of families that say in_bf16() run once
// more with rounded inputs, against the reference of the rounded inputs. The same cases serve the unit tests and the
// program tessera_ops (--help).
#pragma once

#include <fmt/core.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/random.h"

namespace tessera::test {

using Vars = std::vector<Var>;
using Tensors = std::vector<Tensor>;

// One result or several: a case may return a Var, or {y, indices}.
struct Outputs : Vars {
  Outputs(const Var& y) : Vars{y} {}
  Outputs(std::initializer_list<Var> ys) : Vars(ys) {}
};
struct References : Tensors {
  References(const Tensor& y) : Tensors{y} {}
  References(std::initializer_list<Tensor> ys) : Tensors(ys) {}
};

// How an input is made: f64 values, all exactly representable in f32, converted to the dtype under test; or integers,
// which keep their dtype. Random ones are seeded by operator, case name and position.
struct Input {
  using Make = std::function<Tensor(Random& random)>;
  Make make;  // empty: the undefined tensor (an absent optional argument)
};
Input uniform(const Shape& shape, double lo = -1, double hi = 1);
Input spread(const Shape& shape,
             double step = 0.01);  // all different, at least `step` apart and from 0: no ties, no kinks
Input integers(const Shape& shape, i64 lo, i64 hi);  // i64 in [lo, hi], both ends included
Input binary(const Shape& shape);                    // floating 0 or 1: targets
Input constant(const Shape& shape, double value);
Input values(const Shape& shape, const std::vector<double>& v);  // floating; NaN and infinity are allowed
Input indices(const Shape& shape, const std::vector<i64>& v);    // i64
Input absent();

struct OpCase {
  std::string op = {};  // the operator's name; empty: that of the family
  std::string name;     // its parameters, unique within the operator
  std::vector<Input> in = {};
  std::function<Outputs(const Vars& inputs)> run = {};              // must leave its inputs unchanged
  std::function<References(const Tensors& inputs)> reference = {};  // naive, on f64 tensors; shares no code with ops/
  std::vector<int> grad = {};                                       // inputs whose gradients are checked
  double reduction = 1;               // length of the longest sum: tolerances grow with its square root
  double rtol = 1.3e-6, atol = 1e-5;  // f32 against the reference; another value needs a reason beside it
  double flops = 0, bytes = 0;        // of one forward, for the benchmark
  bool bf16 = false;                  // set by in_bf16(), as the two below
  std::vector<int> kept_f32 = {};
  double bf16_atol = 0;
};

// A call that must throw an Error whose message contains `message`.
struct OpError {
  std::string op = {};
  std::string name;
  std::function<void()> run = {};
  std::string message = {};
};

// The cases of one family. OP_CASES defines list(); the families enrol themselves. Inside list() the names add, error
// and bench are these members: an operator of the same name is called tessera::add.
class OpFamily {
 public:
  explicit OpFamily(const char* name);
  virtual ~OpFamily() = default;
  const std::string& name() const { return name_; }
  const std::vector<OpCase>& cases();
  const std::vector<OpError>& errors();
  const std::vector<OpCase>& benches();

 protected:
  virtual void list() = 0;
  void add(OpCase one);
  void error(OpError one);
  void error(const std::string& op, const std::string& name, const std::string& message, std::function<void()> run) {
    error({.op = op, .name = name, .run = std::move(run), .message = message});
  }
  void error(const std::string& name, const std::string& message, std::function<void()> run) {  // of the family's name
    error("", name, message, std::move(run));
  }
  void bench(OpCase one);  // only measured, not compared
  // The cases that follow also run in bf16. The inputs `kept_f32` (a norm's parameters) stay f32 then; atol is allowed
  // beside the rounding of the result, where something in between is rounded, too.
  void in_bf16(std::vector<int> kept_f32 = {}, double atol = 0);
  void only_f32();  // the cases that follow do not

 private:
  void enlist();

  std::string name_;
  bool listed_ = false, bf16_ = false;
  std::vector<int> kept_f32_;
  double bf16_atol_ = 0;
  std::vector<OpCase> cases_, benches_;
  std::vector<OpError> errors_;
};

#define OP_CASES(family)                                 \
  namespace {                                            \
  struct OpFamily_##family : ::tessera::test::OpFamily { \
    using OpFamily::OpFamily;                            \
    void list() override;                                \
  } op_family_##family{#family};                         \
  }                                                      \
  void OpFamily_##family::list()

std::vector<OpFamily*> op_families();      // by name
std::vector<Device> registered_devices();  // the first present one of each kind that has a kernel

// The checks. Each returns an empty string, or what is wrong.
std::string check_forward(const OpCase& one, Device device);
std::string check_gradient(const OpCase& one, Device device);
std::string check_error(const OpError& one);

// The command line that runs one case again.
std::string repeat_line(const std::string& mode, const std::string& op, Device device, const std::string& name);

// The table operator x device, one operator per line: "conv2d cpu".
std::string support_table();

}  // namespace tessera::test
