// What goldens of modules would let pass: nothing that is stored and not compared, no gradient that is missing or
// wrong, no gradient that should be 0 and is not; and when they try again.
#include "tests/goldens/module_golden.h"

#include <doctest/doctest.h>

#include "autograd/matmul.h"
#include "nn/layers.h"
#include "tests/goldens/fill.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera::goldens {

namespace {

// y = x w^T + b of one row, as stored by an oracle: "p.x", "p.weight", "p.bias", upstream gradient "p.dy".
struct LinearGolden : ModuleGolden {
  LinearGolden(const SafeTensors& file, Report& report) : ModuleGolden(file, report, {1e-5, 1e-5}) {}
  int run() {
    Random random(0);
    nn::Linear linear(number("in"), 3, random);
    generate(linear);
    const Var x = input("x", {1, number("in")}), y = linear(x);
    compare("y", y.value());
    upstream(y, "dy").backward();
    compare_gradient("grad.x", x);
    compare_gradients(linear);
    return finish();
  }
};

class Results {
 public:
  Results() {
    const Tensor x = fill("p.x", {1, 2}), dy = fill("p.dy", {1, 3});
    const Tensor w = goldens::generate({.name = "p.weight", .shape = {3, 2}});
    const Tensor b = goldens::generate({.name = "p.bias", .shape = {3}});
    Tensor y = Tensor::zeros({1, 3}), gx = Tensor::zeros({1, 2}), gw = Tensor::zeros({3, 2});
    for (i64 o = 0; o < 3; ++o) {
      at(y, o) = b.data<float>()[o];
      for (i64 i = 0; i < 2; ++i) {
        at(y, o) += w.data<float>()[o * 2 + i] * x.data<float>()[i];
        at(gx, i) += w.data<float>()[o * 2 + i] * dy.data<float>()[o];
        at(gw, o * 2 + i) = x.data<float>()[i] * dy.data<float>()[o];
      }
    }
    tensors_ = {{"y", y}, {"grad.x", gx}, {"grad.weight", gw}, {"grad.bias", dy.reshape({3})}};
  }
  static float& at(Tensor& x, i64 i) { return x.data<float>()[i]; }
  Tensor& operator[](const std::string& name) {
    for (NamedTensor& one : tensors_)
      if (one.name == name) return one.tensor;
    return tensors_.emplace_back(name, Tensor::zeros({1})).tensor;
  }
  Report check() const {
    const test::TemporaryFolder folder;
    save_safetensors(folder / "linear.safetensors", tensors_, {{"prefix", "p."}, {"in", "2"}});
    Report report({}, false);
    check_with<LinearGolden>(SafeTensors::open(folder / "linear.safetensors"), report);
    return report;
  }

 private:
  std::vector<NamedTensor> tensors_;
};

}  // namespace

TEST_CASE("module goldens: right results pass, a wrong value, gradient or shape and what nobody compares fail") {
  CHECK(Results().check().passed() == 4);
  CHECK(Results().check().failed() == 0);
  for (const char* name : {"y", "grad.x", "grad.weight"}) {
    CAPTURE(name);
    Results results;
    Results::at(results[name], 1) += 0.01F;
    const Report report = results.check();
    CHECK(report.passed() == 3);
    CHECK(report.failed() == 1);
  }
  Results more, other;
  more["grad.extra"].fill(1);
  CHECK(more.check().lines().back() ==
        "FAIL     linear/grad.extra  1.00e+00  more than 0e+00, is stored, but nothing here compares it");
  other["grad.bias"] = Tensor::zeros({4});
  CHECK(other.check().lines().back() == "FAIL     linear/grad.bias  the shape is [3]");
}

TEST_CASE("module goldens: a stored f64 zero wants a gradient that is small beside the others") {
  Results results;
  results["grad.bias"].fill(1e-17);
  CHECK(results.check().failed() == 1);
}

TEST_CASE("module goldens: a network is tried again where gradients alone differ, and any right try counts") {
  const auto lines_of = [](int right_from, const char* note) {
    int tries = 0;
    Report report({}, false);
    check_tries(report, [&](Report& attempt) {
      ++tries;
      CHECK(attempt.attempt == tries - 1);
      attempt.check("value", 0, 1);
      attempt.check("grad", attempt.attempt < right_from ? 2 : 0, 1, note);
      return 2;
    });
    return std::tuple(tries, report.passed(), report.failed());
  };
  CHECK(lines_of(0, "the gradient differs") == std::tuple(1, 2, 0));
  CHECK(lines_of(3, "the gradient differs") == std::tuple(4, 2, 0));
  CHECK(lines_of(99, "the gradient differs") == std::tuple(5, 1, 1));
  CHECK(lines_of(3, "no gradient arrived") == std::tuple(1, 1, 1));
}

TEST_CASE("module goldens: each gradient may agree in another try, a value that differs ends the tries") {
  const auto failed = [](int never, const char* note) {
    Report report({}, false);
    check_tries(report, [&](Report& attempt) {
      for (int k = 0; k < 3; ++k)
        attempt.check("grad", k == never || attempt.attempt < k ? 2 : 0, 1, "the gradient differs");
      attempt.check("value", *note && attempt.attempt == 0 ? 2 : 0, 1, note);
      return 4;
    });
    return report.failed();
  };
  CHECK(failed(-1, "") == 0);
  CHECK(failed(1, "") == 1);
  CHECK(failed(-1, "wrong") == 3);
}

TEST_CASE("module goldens: metadata that is absent or of another kind is named") {
  const test::TemporaryFolder folder;
  save_safetensors(folder / "m.safetensors", {{"x", Tensor::zeros({1})}},
                   {{"list", "((198, 131), (151, 120))"}, {"flag", "yes"}});
  const SafeTensors file = SafeTensors::open(folder / "m.safetensors");
  Report report({}, false);
  struct Reader : ModuleGolden {
    using ModuleGolden::flag, ModuleGolden::ModuleGolden, ModuleGolden::number, ModuleGolden::numbers;
  };
  const Reader reader(file, report);
  CHECK(reader.numbers("list") == std::vector<i64>{198, 131, 151, 120});
  CHECK_ERROR(reader.number("list"), "m.safetensors: metadata list is no number: ((198, 131), (151, 120))");
  CHECK_ERROR(reader.number("none"), "m.safetensors: metadata none is missing");
  CHECK_ERROR(reader.flag("flag"), "m.safetensors: metadata flag is neither True nor False: yes");
}

}  // namespace tessera::goldens
