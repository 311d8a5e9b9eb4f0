#include "nn/profile.h"

#include <doctest/doctest.h>

#include <thread>

#include "autograd/grid_sample.h"
#include "autograd/interpolate.h"
#include "autograd/matmul.h"
#include "autograd/ms_deform_attn.h"
#include "autograd/norm.h"
#include "autograd/pool.h"
#include "autograd/roi_align.h"
#include "nn/conv_norm.h"
#include "nn/layers.h"
#include "ops/paste_masks.h"

using namespace tessera;

namespace {

// The work of whatever operators `pass` runs.
struct Sum : WorkListener {
  Work work;
  Shape result;
  void ran(const char*, const Work& one, const Shape& shape) override {
    work += one;
    result = shape;
  }
};

struct Heard {
  Work work;
  Shape result;
};
template <class F>
Heard listen(F&& pass) {
  Sum sum;
  pass();
  return {sum.work, sum.result};
}

Var zeros(const Shape& shape) {
  return Var(Tensor::zeros(shape));
}

// Two layers, and an operator of its own between them.
struct Pair : nn::Module {
  nn::Conv2d first;
  nn::Linear second, unused;
  explicit Pair(Random& random)
      : first({.in = 3, .out = 4, .kernel = 3, .padding = 1}, random), second(4, 5, random), unused(7, 1, random) {}
  void visit(nn::Visitor& v) override {
    v.child("first", first);
    v.child("second", second);
    v.child("unused", unused);
  }
  Var operator()(const Var& x) const {
    const nn::Running running(*this);
    return second(interpolate(first(x), 2, 2, ops::Interpolation::kNearest));
  }
};

struct Outer : nn::Module {
  Pair pair;
  explicit Outer(Random& random) : pair(random) {}
  void visit(nn::Visitor& v) override { v.child("pair", pair); }
};

}  // namespace

TEST_CASE("work: a convolution counts outputs x kernel x inputs of a group, whatever stride and dilation") {
  // 17 x 12 pixels, stride 2, padding 2: a 3x3 kernel of dilation 2 covers 5 pixels and has 9 x 6 places.
  const Heard heard = listen([] {
    conv2d(zeros({2, 17, 12, 6}), zeros({9, 3, 3, 2}), zeros({9}),
           {.stride = 2, .padding = 2, .dilation = 2, .groups = 3});
  });
  CHECK(heard.work.multiply_adds == 2 * 9 * 6 * 9 * 3 * 3 * 2);
  CHECK(heard.work.published == heard.work.multiply_adds);
  CHECK(heard.result == Shape{2, 9, 6, 9});
}

TEST_CASE("work: sampling counts per output value, in the published count alone") {
  const auto published = [](auto&& pass) {
    const Heard heard = listen(pass);
    CHECK(heard.work.multiply_adds == 0);
    return heard.work.published;
  };
  const Tensor rois = Tensor::zeros({4, 5}), images = Tensor::zeros({9}, DType::kI64);
  const auto roi = [&](i64 ratio) {
    roi_align(zeros({1, 8, 8, 6}), Var(rois), {.height = 7, .width = 5, .sampling_ratio = ratio});
  };
  CHECK(published([&] { roi(2); }) == 4 * 2 * 2 * (4 * 7 * 5 * 6));
  CHECK(published([&] { roi(0); }) == 4 * (4 * 7 * 5 * 6));
  CHECK(published([] { grid_sample(zeros({2, 8, 8, 6}), zeros({2, 3, 4, 2})); }) == 4 * (2 * 3 * 4 * 6));
  CHECK(published([&] { sample_points(zeros({2, 8, 8, 6}), images, zeros({9, 2})); }) == 4 * 9 * 6);
  CHECK(published([] {
          ms_deform_attn(zeros({1, 5, 2, 6}), {{2, 2}, {1, 1}}, zeros({1, 7, 2, 2, 3, 2}), zeros({1, 7, 2, 2, 3}));
        }) == 5 * 2 * 3 * (7 * 2 * 6));
  CHECK(published([] { ops::paste_masks(Tensor::zeros({3, 4, 4}), Tensor::zeros({3, 4}), 10, 20); }) == 4 * 3 * 200);
}

TEST_CASE("work: matrix products count rows x columns x inner size; biases and transposition cost nothing") {
  const auto product = [](const Shape& a, const Shape& b, ops::Transpose transpose) {
    return listen([&] { matmul(zeros(a), zeros(b), transpose); }).work.multiply_adds;
  };
  CHECK(product({3, 5}, {5, 7}, ops::Transpose::kNone) == 3 * 5 * 7);
  CHECK(product({4, 5, 3}, {4, 7, 5}, ops::Transpose::kBoth) == 4 * 3 * 5 * 7);
  CHECK(listen([] { linear(zeros({2, 3, 5}), zeros({7, 5}), zeros({7})); }).work.multiply_adds == 2 * 3 * 5 * 7);
}

TEST_CASE("work: the published counts take normalisation, resizing and adaptive means, and no deformable convolution") {
  const Var x = zeros({1, 4, 4, 6});
  const auto published = [](auto&& pass) {
    const Work work = listen(pass).work;
    CHECK(work.multiply_adds == 0);
    return work.published;
  };
  CHECK(published([&] { interpolate(x, 8, 8, ops::Interpolation::kBilinear); }) == 4 * 8 * 8 * 6);
  CHECK(published([&] { interpolate(x, 8, 8, ops::Interpolation::kNearest); }) == 8 * 8 * 6);
  CHECK(published([&] { adaptive_avg_pool2d(x, 2, 2); }) == 4 * 4 * 6);
  CHECK(published([&] { max_pool2d(x, {}); }) == 0);
  const Work deformable = listen([&] {
                            deform_conv2d(x, zeros({1, 4, 4, 18}), Var(), zeros({5, 3, 3, 6}), Var(), {.padding = 1});
                          }).work;
  CHECK(deformable.multiply_adds == 4 * 4 * 5 * 9 * 6);
  CHECK(deformable.published == 0);
}

TEST_CASE("work: a normalisation counts the same folded into its convolution or not, and more in training") {
  Random random(1);
  for (const nn::Norm norm : {nn::Norm::kBatch, nn::Norm::kFrozenBatch}) {
    nn::ConvNorm unit({.in = 3, .out = 4, .norm = norm}, random);
    const auto beside_convolution = [&] {
      const Work work = listen([&] { unit(zeros({1, 6, 5, 3})); }).work;
      CHECK(work.multiply_adds == 30 * 12);
      return work.published - work.multiply_adds;
    };
    if (auto* live = std::get_if<nn::BatchNorm2d>(&unit.norm)) {
      CHECK(beside_convolution() == 5 * 30 * 4);
      live->eval();
    }
    CHECK(beside_convolution() == 2 * 30 * 4);
  }
}

TEST_CASE("work: nobody hears operators of another thread, or after the listener is gone") {
  Sum outer;
  {
    const Heard inner = listen([] { matmul(zeros({1, 1}), zeros({1, 1})); });
    CHECK(inner.work.multiply_adds == 1);
  }
  std::thread([] { matmul(zeros({2, 2}), zeros({2, 2})); }).join();
  CHECK(outer.work.multiply_adds == 0);
  matmul(zeros({3, 1}), zeros({1, 1}));
  CHECK(outer.work.multiply_adds == 3);
}

TEST_CASE("profile: work, outputs and time belong to the module that runs, and to those above it") {
  Random random(1);
  Outer net(random);
  const std::vector<nn::ModuleRun> runs = nn::profile(net, [&] {
    net.pair(zeros({1, 4, 4, 3}));
    matmul(zeros({1, 3}), zeros({3, 1}));  // in no module: the root's
  });
  REQUIRE(runs.size() == 5);
  std::vector<std::string> names, kinds;
  for (const nn::ModuleRun& run : runs) names.push_back(run.name), kinds.push_back(run.kind);
  CHECK(names == std::vector<std::string>{"", "pair", "pair.first", "pair.second", "pair.unused"});
  CHECK(kinds == std::vector<std::string>{"Outer", "Pair", "Conv2d", "Linear", "Linear"});
  const i64 conv = 16 * 4 * 27, nearest = 4 * 4, product = 4 * 4 * 5;
  CHECK(runs[2].work.multiply_adds == conv);
  CHECK(runs[3].work.multiply_adds == product);
  CHECK(runs[1].work.published == conv + nearest + product);
  CHECK(runs[0].work.multiply_adds == conv + product + 3);
  CHECK(runs[2].output == Shape{1, 4, 4, 4});
  CHECK(runs[1].output == Shape{1, 2, 2, 5});
  CHECK(runs[0].output == runs[1].output);  // what comes after the modules is post-processing
  CHECK(runs[0].parameters == 4 * 27 + 4 + 20 + 5 + 8);
  CHECK(runs[1].parameters == runs[0].parameters);
  CHECK(runs[4].calls == 0);
  CHECK(runs[4].work.published == 0);
  CHECK(runs[0].seconds == doctest::Approx(runs[0].own_seconds + runs[1].seconds));
  CHECK(runs[1].seconds == doctest::Approx(runs[1].own_seconds + runs[2].seconds + runs[3].seconds));
}
