// Runs every op case on every device, and checks that the harness itself catches what it is there to catch.
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"
#include "tests/support/paths.h"

namespace tessera::test {

namespace {

// Calls check(case, device) for every case and device and reports what is wrong, with the line that repeats it.
template <class F>
void for_every_case(const std::string& mode, F&& check) {
  for (OpFamily* family : op_families())
    for (const OpCase& one : family->cases())
      for (const Device device : registered_devices()) {
        const std::string wrong = check(one, device);
        if (!wrong.empty())
          FAIL_CHECK(one.op, " '", one.name, "' on ", device.str(), ": ", wrong, "\n  ",
                     repeat_line(mode, one.op, device, one.name));
      }
}

// y = 2x with a derivative of `slope`.
Var twice(const Var& x, double slope) {
  Tensor y = Tensor::empty(x.shape(), x.value().dtype());
  dispatch_float(y.dtype(), "twice", [&]<class T>() {
    for (i64 i = 0; i < y.numel(); ++i) y.data<T>()[i] = 2 * x.value().data<T>()[i];
  });
  return record("twice", y, {x}, [slope](const Tensor& gy, Gradients& gradients) {
    Tensor gx = gy.clone();
    dispatch_float(gx.dtype(), "twice", [&]<class T>() {
      for (T& g : gx.span<T>()) g *= static_cast<T>(slope);
    });
    gradients.add(0, gx);
  });
}

References naive_twice(const Tensors& t) {
  Tensor y = t[0].clone();
  for (double& x : y.span<double>()) x *= 2;
  return y;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("ops: every case agrees with its naive reference in f64 and f32, twice with the same bits") {
  for_every_case("test", check_forward);
}

TEST_CASE("ops: every gradient agrees with finite differences in f64, and in f32 with f64") {
  for_every_case("grad", check_gradient);
}

TEST_CASE("ops: wrong input is refused with a message that says what is wrong") {
  for (OpFamily* family : op_families())
    for (const OpError& one : family->errors()) {
      const std::string wrong = check_error(one);
      if (!wrong.empty())
        FAIL_CHECK(one.op, " '", one.name, "': ", wrong, "\n  ", repeat_line("test", one.op, {}, one.name));
    }
}

TEST_CASE("ops: the table operator x device is the stored one (tessera_ops support > tests/ops/support.txt)") {
  std::ifstream file(test::source_dir() / "tests/ops/support.txt");
  REQUIRE(file);
  std::string stored, op, device;
  const std::vector<Device> devices = registered_devices();  // those of this build; the list covers all builds
  for (std::string line; std::getline(file, line);) {
    std::istringstream(line) >> op >> device;
    if (std::any_of(devices.begin(), devices.end(), [&](Device d) { return name_of(d.kind) == device; }))
      stored += line + "\n";
  }
  CHECK(support_table() == stored);
}

TEST_CASE("op cases: a right operator passes, and every kind of wrong one is caught") {
  const Device cpu;
  OpCase one{.op = "twice",
             .name = "right",
             .in = {uniform({3, 4})},
             .run = [](const Vars& v) { return twice(v[0], 2); },
             .reference = naive_twice,
             .grad = {0}};
  CHECK(check_forward(one, cpu) == "");
  CHECK(check_gradient(one, cpu) == "");

  OpCase wrong = one;
  wrong.run = [](const Vars& v) { return twice(v[0], 2.01); };
  CHECK(check_forward(wrong, cpu) == "");
  CHECK(contains(check_gradient(wrong, cpu), "finite differences give"));

  wrong.run = [](const Vars& v) { return twice(twice(v[0], 2), 2); };
  CHECK(contains(check_forward(wrong, cpu), "tolerance exceeded"));

  wrong.run = [](const Vars& v) { return twice(v[0].detach(), 2); };
  CHECK(contains(check_forward(wrong, cpu), "drops it"));
  CHECK(contains(check_gradient(wrong, cpu), "throws"));

  wrong.run = [](const Vars& v) { return Outputs{twice(v[0], 2), v[0]}; };
  CHECK(contains(check_forward(wrong, cpu), "2 outputs, the reference has 1"));

  wrong.run = [](const Vars& v) {
    Var y = twice(v[0], 2);
    Tensor shared = v[0].value();
    shared.fill(0);
    return y;
  };
  CHECK(contains(check_forward(wrong, cpu), "input 0 was changed"));

  int calls = 0;
  wrong.run = [&calls](const Vars& v) {
    Var y = twice(v[0], 2);
    if (++calls % 2 == 0) y.value().fill(1);
    return y;
  };
  CHECK(contains(check_forward(wrong, cpu), "other bits"));
}

TEST_CASE("op cases: NaN and infinity must be where the reference has them") {
  OpCase one{.op = "twice",
             .name = "odd",
             .in = {values({3}, {NAN, INFINITY, 1})},
             .run = [](const Vars& v) { return twice(v[0], 2); },
             .reference = naive_twice};
  CHECK(check_forward(one, {}) == "");
  one.reference = [](const Tensors&) { return Tensor::from(std::vector<double>{1, INFINITY, 2}); };
  CHECK(contains(check_forward(one, {}), "nan at [0]"));
}

TEST_CASE("op cases: an error case fails when nothing is thrown, or something else") {
  const OpError one{.op = "x", .name = "y", .run = [] { fail("x: shape [3] is wrong"); }, .message = "shape [3]"};
  CHECK(check_error(one) == "");
  CHECK(contains(check_error({.op = "x", .name = "y", .run = [] { fail("x: no"); }, .message = "shape [3]"}),
                 "expected to contain"));
  CHECK(contains(check_error({.op = "x", .name = "y", .run = [] {}, .message = "shape [3]"}), "is accepted"));
  CHECK(contains(
      check_error({.op = "x", .name = "y", .run = [] { throw std::runtime_error("shape [3]"); }, .message = "shape"}),
      "not a tessera"));
}

TEST_CASE("op cases: inputs depend on the case's name only, and spread values have no ties") {
  const OpCase one{.op = "x", .name = "a", .in = {uniform({100}), spread({100})}};
  const OpCase two{.op = "x", .name = "b", .in = {uniform({100})}};
  Vars seen;
  OpCase probe = one;
  probe.run = [&seen](const Vars& v) { return seen = v, v[0]; };
  probe.reference = [](const Tensors& t) { return t[0]; };
  CHECK(check_forward(probe, {}) == "");
  const Tensor first = seen[0].value(), ramp = seen[1].value();
  CHECK(check_forward(probe, {}) == "");
  CHECK(std::equal(first.span<float>().begin(), first.span<float>().end(), seen[0].value().span<float>().begin()));
  std::vector<float> sorted(ramp.span<float>().begin(), ramp.span<float>().end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i + 1 < sorted.size(); ++i) CHECK(sorted[i + 1] - sorted[i] > 0.019F);
  probe.name = two.name;
  CHECK(check_forward(probe, {}) == "");
  CHECK(first.data<float>()[0] != seen[0].value().data<float>()[0]);
}

TEST_CASE("op cases: the line that repeats a case escapes its name") {
  CHECK(repeat_line("test", "conv2d", {}, "k=3 [1]") == "tessera_ops test -o conv2d -d cpu -p '^k=3 \\[1\\]$'");
}

}  // namespace tessera::test
