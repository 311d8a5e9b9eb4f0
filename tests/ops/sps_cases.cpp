// Cases of the operators on SPS features. The structures are made once per case; inputs are the features.
#include <cmath>

#include "autograd/sps.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"
#include "tests/ops/sps_structures.h"

namespace tessera::test {

namespace {

using ops::SpsStructure;

SpsStructure structure_of(i64 R, i64 size, const std::vector<double>& shares, u64 seed = 1) {
  Random random(seed);
  return random_structure(random, R, size, shares);
}

// The structure where the case's inputs are.
SpsStructure beside(const Var& x, const SpsStructure& s) {
  return structure_on(s, x.value().device());
}

double feature(const SpsStructure& s, const Tensor& active, const Tensor& passive, i64 id, i64 i) {
  if (id < s.active()) return at(active, id, i);
  return id < s.active() + s.passive ? at(passive, id - s.active(), i) : 0;
}

References naive_conv(const SpsStructure& s, const Tensors& t, i64 dilation, bool relu) {
  const Tensor &active = t[0], &passive = t[1], &w = t[2], &b = t[3], ids = tap_ids(s, dilation);
  const i64 Fi = active.dim(1), Fo = w.dim(0);
  Tensor y = Tensor::zeros({s.active(), Fo}, DType::kF64);
  for (i64 a = 0; a < s.active(); ++a)
    for (i64 o = 0; o < Fo; ++o) {
      double sum = b.defined() ? at(b, o) : 0;
      for (i64 j = 0; j < 9 * Fi; ++j)
        sum += w.data<double>()[o * 9 * Fi + j] * feature(s, active, passive, ids.data<i64>()[a * 9 + j / Fi], j % Fi);
      at(y, a, o) = relu && sum < 0 ? 0 : sum;
    }
  return y;
}

OpCase convolution(const std::string& what, const SpsStructure& s, i64 Fi, i64 Fo, i64 dilation, bool relu = false,
                   bool flat = false, bool bias = true) {
  const Shape w = flat ? Shape{Fo, 9 * Fi} : Shape{Fo, 3, 3, Fi};
  OpCase one{.op = "sps_conv2d",
             .name = fmt::format("{} map={} N_A={} N_P={} w={} d={}{}{}", what, s.index_map.shape(), s.active(),
                                 s.passive, w, dilation, relu ? " relu" : "", bias ? "" : " no bias"),
             .in = {uniform({s.active(), Fi}), uniform({s.passive, Fi}), uniform(w, -0.5, 0.5),
                    bias ? uniform({Fo}) : absent()},
             .run =
                 [=](const Vars& v) {
                   return sps_conv2d(ops::sps_neighbours(beside(v[0], s), dilation), v[0], v[1], v[2], v[3],
                                     relu ? ops::Activation::kRelu : ops::Activation::kNone);
                 },
             .reference = [=](const Tensors& t) { return naive_conv(s, t, dilation, relu); },
             .grad = {0, 1, 2},
             .reduction = static_cast<double>(9 * Fi)};
  if (bias) one.grad.push_back(3);
  return one;
}

References naive_deform(const SpsStructure& s, const Tensors& t) {
  const Tensor &active = t[0], &passive = t[1], &offset = t[2], &w = t[3], &b = t[4];
  const i64 Fi = active.dim(1), Fo = w.dim(0);
  Tensor y = Tensor::zeros({s.active(), Fo}, DType::kF64);
  for (i64 a = 0; a < s.active(); ++a)
    for (i64 position = 0; position < 9; ++position) {
      const i64* cell = cell_of(s, a);
      const double x = static_cast<double>(cell[ops::kSpsX]) + at(offset, a, 2 * position);
      const double v = static_cast<double>(cell[ops::kSpsY]) + at(offset, a, 2 * position + 1);
      if (!(std::abs(x) < 1e6 && std::abs(v) < 1e6)) continue;
      for (const double cx : {std::floor(x), std::floor(x) + 1})
        for (const double cy : {std::floor(v), std::floor(v) + 1}) {
          const double weight = (1 - std::abs(x - cx)) * (1 - std::abs(v - cy));
          const i64 id = id_at(s, cell[ops::kSpsRoi], static_cast<i64>(cx), static_cast<i64>(cy));
          for (i64 o = 0; o < Fo; ++o)
            for (i64 i = 0; i < Fi; ++i)
              at(y, a, o) +=
                  weight * feature(s, active, passive, id, i) * w.data<double>()[(o * 9 + position) * Fi + i];
        }
    }
  if (b.defined())
    for (i64 a = 0; a < s.active(); ++a)
      for (i64 o = 0; o < Fo; ++o) at(y, a, o) += at(b, o);
  return y;
}

OpCase deformable(const std::string& what, const SpsStructure& s, i64 Fi, i64 Fo, double reach, bool flat = false,
                  bool bias = true) {
  const Shape w = flat ? Shape{Fo, 9 * Fi} : Shape{Fo, 3, 3, Fi};
  OpCase one{.op = "sps_deform_conv2d",
             .name = fmt::format("{} map={} N_A={} N_P={} w={} reach={}{}", what, s.index_map.shape(), s.active(),
                                 s.passive, w, reach, bias ? "" : " no bias"),
             .in = {uniform({s.active(), Fi}), uniform({s.passive, Fi}), uniform({s.active(), 18}, -reach, reach),
                    uniform(w, -0.5, 0.5), bias ? uniform({Fo}) : absent()},
             .run = [=](const Vars& v) { return sps_deform_conv2d(beside(v[0], s), v[0], v[1], v[2], v[3], v[4]); },
             .reference = [=](const Tensors& t) { return naive_deform(s, t); },
             .grad = {0, 1, 2, 3},
             .reduction = static_cast<double>(9 * Fi)};
  if (bias) one.grad.push_back(4);
  return one;
}

// Selecting and upsampling with every second child's features turned around: the new features by the definition.
OpCase refine(const SpsStructure& s, const std::vector<u8>& keep, i64 F) {
  const Tensor mask = Tensor::from(keep);
  const i64 n = std::count(keep.begin(), keep.end(), u8{1});
  return {
      .op = "sps_select",
      .name = fmt::format("{} of {} cells stay, {} passive before", n, s.active(), s.passive),
      .in = {uniform({s.active(), F}), uniform({s.passive, F})},
      .run =
          [=](const Vars& v) {
            const Sps kept = sps_select({beside(v[0], s), v[0], v[1]}, mask.to(v[0].value().device()));
            const Sps up = sps_upsample(kept, sps_repeat(kept.active));
            return Outputs{up.active, up.passive};
          },
      .reference =
          [=](const Tensors& t) {
            std::vector<double> active, passive(t[1].span<double>().begin(), t[1].span<double>().end());
            for (i64 a = 0; a < s.active(); ++a) {
              const bool stays = keep[static_cast<size_t>(a)] != 0;
              for (int copy = 0; copy < (stays ? 4 : 1); ++copy)
                for (i64 i = 0; i < F; ++i) (stays ? active : passive).push_back(at(t[0], a, i));
            }
            return References{Tensor::from(active, {4 * n, F}), Tensor::from(passive, {s.passive + s.active() - n, F})};
          },
      .grad = {0, 1}};
}

}  // namespace

OP_CASES(sps) {
  const SpsStructure dense = structure_of(2, 4, {}), one_cell = structure_of(1, 1, {}), none = structure_of(0, 3, {});
  const SpsStructure once = structure_of(2, 3, {0.5}), twice = structure_of(2, 3, {0.6, 0.5}, 3);
  const SpsStructure nothing = structure_of(2, 3, {0.0});  // everything passive
  in_bf16();
  for (const i64 d : {1, 2, 5}) {
    add(convolution("all active", dense, 3, 4, d));
    add(convolution("two rounds", twice, 5, 3, d));
  }
  add(convolution("one round", once, 3, 2, 1, true));
  add(convolution("one round, weight as in checkpoints", once, 3, 2, 3, false, true));
  add(convolution("one round", once, 7, 4, 1, false, false, false));
  add(convolution("several tiles", structure_of(6, 4, {0.6}), 20, 68, 1));
  for (const auto& [Fi, Fo] : {std::pair{32, 32}, {8, 40}, {24, 72}, {16, 136}})  // what tensor cores have tiles for
    add(convolution("several tiles", structure_of(6, 4, {0.9, 0.5}), Fi, Fo, 1));
  add(convolution("one cell", one_cell, 2, 2, 1));
  add(convolution("no grids", none, 2, 2, 1));
  add(convolution("none active", nothing, 2, 2, 1));
  add(convolution("a dilation beyond the grid and all bounds", once, 2, 2, i64{1} << 60));

  in_bf16({2}, 0x1p-8);  // columns are rounded before their product
  for (const double reach : {0.9, 2.7, 40.0}) add(deformable("two rounds", twice, 3, 4, reach));
  add(deformable("all active", dense, 5, 3, 1.7));
  add(deformable("one round, weight as in checkpoints", once, 18, 2, 1.7, true));
  add(deformable("one round", once, 4, 3, 1.7, false, false));
  add(deformable("several tiles", structure_of(6, 4, {0.6}), 24, 72, 1.7));
  add(deformable("one cell", one_cell, 2, 2, 0.9));
  add(deformable("no grids", none, 2, 2, 1));
  add(deformable("none active", nothing, 2, 2, 1));
  std::vector<double> far(18, 0.0);
  far[0] = NAN, far[3] = INFINITY, far[4] = -INFINITY, far[7] = 3e30;
  add({.op = "sps_deform_conv2d",
       .name = "NaN, infinite and huge offsets give zeros",
       .in = {constant({1, 2}, 1), uniform({0, 2}), values({1, 18}, far), constant({1, 3, 3, 2}, 1),
              constant({1}, 0.5)},
       .run = [=](const Vars& v) { return sps_deform_conv2d(beside(v[0], one_cell), v[0], v[1], v[2], v[3], v[4]); },
       .reference =
           [](const Tensors&) {
             return Tensor::full({1, 1}, 0.5 + 5 * 2, DType::kF64);
           }});

  in_bf16();
  add(refine(structure_of(1, 2, {}), {1, 0, 0, 1}, 3));
  add(refine(structure_of(1, 2, {}), {0, 0, 0, 0}, 3));
  add(refine(structure_of(1, 2, {}), {1, 1, 1, 1}, 1));
  std::vector<u8> mask(static_cast<size_t>(twice.active()));
  for (size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 0;
  add(refine(twice, mask, 2));

  for (const SpsStructure& s : {dense, twice, none, nothing})
    add({.op = "sps_overwrite",
         .name = fmt::format("map={} N_A={}", s.index_map.shape(), s.active()),
         .in = {uniform({s.rois(), s.size(), s.size(), 2}), uniform({s.active(), 2})},
         .run = [=](const Vars& v) { return sps_overwrite(v[0], v[1], beside(v[0], s)); },
         .reference =
             [=](const Tensors& t) {
               Tensor y = t[0].clone();
               for (i64 a = 0; a < s.active(); ++a)
                 for (i64 c = 0; c < 2; ++c)
                   at(y, cell_of(s, a)[ops::kSpsRoi], cell_of(s, a)[ops::kSpsY], cell_of(s, a)[ops::kSpsX], c) =
                       at(t[1], a, c);
               return y;
             },
         .grad = {0, 1}});

  const auto conv = [](const SpsStructure& s, const Shape& a, const Shape& p, const Shape& w) {
    sps_conv2d(ops::sps_neighbours(s, 1), Var(Tensor::zeros(a)), Var(Tensor::zeros(p)), Var(Tensor::zeros(w)), Var());
  };
  error("sps_conv2d", "active rows", "sps_conv2d: active must be [32, 3], got [31, 3]", [=] {
    conv(dense, {31, 3}, {0, 3}, {4, 3, 3, 3});
  });
  error("sps_conv2d", "passive rows", "sps_conv2d: passive must be [0, 3], got [1, 3]", [=] {
    conv(dense, {32, 3}, {1, 3}, {4, 3, 3, 3});
  });
  error("sps_conv2d", "channels", "sps_conv2d: weight must be [4, 3, 3, 3], got [4, 3, 3, 5]", [=] {
    conv(dense, {32, 3}, {0, 3}, {4, 3, 3, 5});
  });
  error("sps_neighbours", "dilation 0", "sps_neighbours: the dilation must be at least 1, got 0",
        [=] { ops::sps_neighbours(dense, 0); });
  error("sps_deform_conv2d", "offset channels", "sps_deform_conv2d: offset must be [32, 18], got [32, 9]", [=] {
    sps_deform_conv2d(dense, Var(Tensor::zeros({32, 3})), Var(Tensor::zeros({0, 3})), Var(Tensor::zeros({32, 9})),
                      Var(Tensor::zeros({4, 27})), Var());
  });
  error("sps_select", "length of the mask", "sps_select: mask must be u8 [32]",
        [=] { ops::sps_select(dense, Tensor::zeros({31}, DType::kU8)); });
  error("sps_upsample", "rows of the children", "sps_upsample: the children must be [128, F], got [32, 3]", [=] {
    sps_upsample({dense, Var(), Var()}, Var(Tensor::zeros({32, 3})));
  });
  error("sps_overwrite", "size of the map", "sps_overwrite: the map must be [2, 4, 4, C], got [2, 5, 5, 1]", [=] {
    sps_overwrite(Var(Tensor::zeros({2, 5, 5, 1})), Var(Tensor::zeros({32, 1})), dense);
  });

  // The last stage of a head: 60 grids of 112 x 112 cells, 40,000 of them active.
  const SpsStructure last = structure_of(60, 14, {0.85, 0.25, 0.25});
  for (const i64 F : {128, 64, 32}) {
    OpCase stage = convolution("stage", last, F, F, 1);
    stage.flops = 2.0 * 9 * static_cast<double>(last.active() * F * F);
    bench(stage);
  }
}

}  // namespace tessera::test
