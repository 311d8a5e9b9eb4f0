// EffSeg's processing modules: names, parameters, and what they begin as. Their values are checked by the goldens.
#include <doctest/doctest.h>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/effseg/processing.h"
#include "nn/profile.h"
#include "tests/ops/compare.h"
#include "tests/ops/sps_structures.h"
#include "tests/support/check_error.h"

namespace tessera::test {

using namespace effseg;

namespace {

Sps sample(Random& random, i64 width, bool all_active = false) {
  const ops::SpsStructure structure =
      all_active ? ops::sps_upsample(random_structure(random, 2, 6, {})) : random_structure(random, 2, 6, {0.6});
  return {structure, Var(random_tensor(random, {structure.active(), width}, DType::kF32), true),
          Var(random_tensor(random, {structure.passive, width}, DType::kF32), true)};
}

}  // namespace

TEST_CASE("processing: the parameters of the paper's modules") {
  // Table 5's heads differ by these alone: 30 G^2 + 6 G for the semantic fusion module (SFM).
  const auto count = [](Processing kind) {
    Random random(1);
    i64 parameters = 0;
    for (const i64 G : {128, 64, 32}) parameters += nn::count_parameters(*make_processing(kind, G, random));
    return parameters;
  };
  CHECK(count(Processing::kSfm) == 646464);
  CHECK(count(Processing::kSfm) - count(Processing::kConv) == 4208872 - 3929768);
  CHECK(count(Processing::kDeformConv) - count(Processing::kConv) == 3933854 - 3929768);
  CHECK(count(Processing::kConv) - count(Processing::kMlp) == 3929768 - 3757736);
}

TEST_CASE("processing: names as in the checkpoints") {
  Random random(1);
  const auto names = [&](Processing kind) {
    const std::unique_ptr<ProcessingModule> module = make_processing(kind, 4, random);
    std::string text;
    for (const auto& [name, parameter] : nn::named_parameters(*module)) text += name + " ";
    return text;
  };
  CHECK(names(Processing::kSfm) ==
        "0.weight 0.bias 2.sub_modules.0.0.weight 2.sub_modules.0.0.bias 2.sub_modules.1.0.weight "
        "2.sub_modules.1.0.bias 2.sub_modules.2.0.weight 2.sub_modules.2.0.bias 3.weight 3.bias 5.weight 5.bias ");
  CHECK(names(Processing::kDeformConv) ==
        "0.conv_offsets.weight 0.conv_offsets.bias 0.weight 0.bias 1.weight 1.bias 2.weight 2.bias 4.weight 4.bias ");
}

TEST_CASE("processing: every parameter and every input receives a finite gradient") {
  for (const auto& [name, kind] : names_of(Processing{})) {
    INFO(name);
    Random random(2);
    const std::unique_ptr<ProcessingModule> module = make_processing(kind, 16, random);
    const bool dense = kind == Processing::kDenseSfm;
    const Sps sps = sample(random, 16, dense);
    const Var y = (*module)(sps);
    CHECK(y.shape() == sps.active.shape());
    sum(y * Var(random_tensor(random, y.shape(), DType::kF32))).backward();
    const auto check = [](const Var& x) {
      REQUIRE(x.grad().defined());
      double size = 0;
      for (const float g : x.grad().span<float>()) size += std::abs(static_cast<double>(g));
      CHECK(std::isfinite(size));
      CHECK(size > 0);
    };
    for (const auto& [parameter_name, parameter] : nn::named_parameters(*module)) {
      INFO(parameter_name);
      check(*parameter);
    }
    check(sps.active);
    if (kind == Processing::kMlp || dense)
      CHECK(!sps.passive.grad().defined());
    else
      check(sps.passive);
  }
}

TEST_CASE("processing: a fresh deformable layer is an index convolution") {
  Random random(3);
  const Sps sps = sample(random, 8);
  SpsDeformConv2d deformable(8, 8, 2, random);
  SpsConv2d plain(8, 8, 2, ops::Activation::kNone, random);
  plain.weight = deformable.weight;
  plain.bias = deformable.bias;
  CHECK(difference(deformable(sps).value(), plain(sps).value()) < tolerance(DType::kF32));
}

TEST_CASE("processing: dense_sfm is sfm where all cells are active, and refuses others") {
  Random random(5), again(5);
  const std::unique_ptr<ProcessingModule> dense = make_processing(Processing::kDenseSfm, 8, random);
  const std::unique_ptr<ProcessingModule> sparse = make_processing(Processing::kSfm, 8, again);
  CHECK(difference((*dense)(sample(random, 8, true)).value(), (*sparse)(sample(again, 8, true)).value()) <
        tolerance(DType::kF32));
  CHECK_ERROR((*dense)(sample(random, 8)), "cells are passive, all must be active");
}

TEST_CASE("processing: the work of a module as the papers count it") {
  Random random(4);
  const Sps sps = sample(random, 8);
  const i64 N = sps.structure.active(), F = 8;
  const auto work = [&](Processing kind) {
    const std::unique_ptr<ProcessingModule> module = make_processing(kind, F, random);
    const NoGrad no_grad;
    return nn::profile(*module, [&] { (*module)(sps); })[0].work;
  };
  CHECK(work(Processing::kSfm).published == 30 * N * F * F);
  CHECK(work(Processing::kSfm).multiply_adds == 30 * N * F * F);
  CHECK(work(Processing::kDeformConv).published - work(Processing::kConv).published == 4 * 9 * F * N + 18 * F * N);
}

}  // namespace tessera::test
