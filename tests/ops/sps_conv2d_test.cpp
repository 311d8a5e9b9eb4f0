// Index convolutions against the gather formulation of the reference: rows gathered by id, one matrix product,
// gradients scattered back by id.
#include "ops/sps_conv2d.h"

#include "ops/arrange.h"
#include "ops/conv2d.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/sps_deform_conv2d.h"
#include "tests/ops/compare.h"
#include "tests/ops/sps_structures.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

using ops::SpsStructure;

struct Gathered {
  Tensor y, gactive, gpassive, gw;
};

Gathered gather_formulation(const SpsStructure& s, i64 dilation, const Tensor& active, const Tensor& passive,
                            const Tensor& weight, const Tensor& bias, const Tensor& gy) {
  const auto f64 = [](const Tensor& x) { return x.to(DType::kF64); };
  const i64 Fi = active.dim(1), Fo = weight.dim(0), rows = s.active() + s.passive;
  const Tensor w = f64(weight).reshape({Fo, 9 * Fi}), ids = tap_ids(s, dilation);
  const Tensor features = ops::concat({f64(active), f64(passive), Tensor::zeros({1, Fi}, DType::kF64)}, 0);
  const Tensor gathered = ops::gather_rows(features, ids).reshape({s.active(), 9 * Fi});
  const Tensor columns = ops::linear_backward_input(f64(gy), w).reshape({9 * s.active(), Fi});
  const Tensor g = ops::scatter_add_rows(columns, ids, rows + 1);
  return {ops::linear(gathered, w, f64(bias)), g.rows(0, s.active()), g.rows(s.active(), rows),
          ops::linear_backward_weight(f64(gy), gathered).reshape(weight.shape())};
}

// For many small draws, in which threads would only wait for each other.
struct OneThread {
  int before = omp_get_max_threads();
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before); }
};

Tensor regular_offsets(i64 rows, i64 dilation, DType dtype) {
  Tensor offset = Tensor::empty({rows, 18}, DType::kF64);
  for (i64 i = 0; i < offset.numel(); ++i) {
    const i64 position = i % 18 / 2;
    offset.data<double>()[i] = static_cast<double>((i % 2 == 0 ? position % 3 - 1 : position / 3 - 1) * dilation);
  }
  return offset.to(dtype);
}

}  // namespace

TEST_CASE("sps_conv2d: forward and all gradients agree with the gather formulation on random structures and widths") {
  const OneThread one;
  for (u64 seed = 0; seed < 1200; ++seed) {
    Random random(seed);
    const bool wide = seed % 24 == 0;  // wide enough for tiles, past every vector and panel, cells for several blocks
    const i64 Fi = wide ? random.integer(26, 70) : random.integer(1, 20);
    const i64 Fo = wide ? random.integer(26, 70) : random.integer(1, 20);
    std::vector<double> shares(static_cast<size_t>(wide ? 1 : random.integer(0, 2)));
    for (double& share : shares) share = random.uniform(0.3, 1);
    const i64 R = wide ? random.integer(2, 4) : random.integer(0, 2);
    const SpsStructure s = random_structure(random, R, wide ? random.integer(6, 9) : random.integer(1, 4), shares);
    const i64 dilation = random.integer(1, 6);
    const DType dtype = seed % 5 == 0 ? DType::kF64 : DType::kF32;
    const bool relu = seed % 2 == 0;
    INFO("seed ", seed, ", N_A ", s.active(), ", N_P ", s.passive, ", Fi ", Fi, ", Fo ", Fo, ", dilation ", dilation);

    const Tensor active = random_tensor(random, {s.active(), Fi}, dtype);
    const Tensor passive = random_tensor(random, {s.passive, Fi}, dtype);
    const Tensor w = random_tensor(random, {Fo, 3, 3, Fi}, dtype), b = random_tensor(random, {Fo}, dtype);
    const Tensor gy = random_tensor(random, {s.active(), Fo}, dtype);
    const Gathered expected = gather_formulation(s, dilation, active, passive, w, b, gy);
    const ops::SpsNeighbours neighbours = ops::sps_neighbours(s, dilation);
    const Tensor y =
        ops::sps_conv2d(neighbours, active, passive, w, b, relu ? ops::Activation::kRelu : ops::Activation::kNone);
    REQUIRE(difference(y, relu ? ops::relu(expected.y) : expected.y) < tolerance(dtype));
    const ops::SpsGradients g = ops::sps_conv2d_backward(neighbours, gy, active, passive, w);
    REQUIRE(difference(g.active, expected.gactive) < tolerance(dtype));
    REQUIRE(difference(g.passive, expected.gpassive) < tolerance(dtype));
    REQUIRE(difference(g.weight, expected.gw) < tolerance(dtype));
    const auto only = [&](bool features, bool weight) {
      return ops::sps_conv2d_backward(neighbours, gy, active, passive, w, {.features = features, .weight = weight});
    };
    REQUIRE((same_bits(only(true, false).active, g.active) && !only(true, false).weight.defined()));
    REQUIRE((same_bits(only(false, true).weight, g.weight) && !only(false, true).active.defined()));
  }
}

TEST_CASE("sps_conv2d: the error of tiles is a small multiple of that of plain f32") {
  Random random(1);
  const SpsStructure s = random_structure(random, 14, 14, {0.8});
  const ops::SpsNeighbours neighbours = ops::sps_neighbours(s, 1);
  const i64 F = 70;
  REQUIRE(s.active() > 4 * 8 * 192);  // every part of the weight's gradient has several blocks
  const Tensor active = random_tensor(random, {s.active(), F}, DType::kF32);
  const Tensor passive = random_tensor(random, {s.passive, F}, DType::kF32);
  const Tensor w = random_tensor(random, {F, 3, 3, F}, DType::kF32), b = random_tensor(random, {F}, DType::kF32);
  const Tensor gy = random_tensor(random, {s.active(), F}, DType::kF32);
  const Gathered expected = gather_formulation(s, 1, active, passive, w, b, gy);
  CHECK(difference(ops::sps_conv2d(neighbours, active, passive, w, b), expected.y) < 2e-6);
  const ops::SpsGradients g = ops::sps_conv2d_backward(neighbours, gy, active, passive, w);
  CHECK(difference(g.active, expected.gactive) < 2e-6);
  CHECK(difference(g.passive, expected.gpassive) < 2e-6);
  CHECK(difference(g.weight, expected.gw) < 2e-6);
}

TEST_CASE("sps_conv2d: with all cells active it is conv2d, deformable or not") {
  Random random(2);
  for (const i64 F : {5, 32})
    for (const i64 d : {1, 2, 3}) {
      const i64 R = 3, S = 11;
      const SpsStructure s = random_structure(random, R, S, {});
      const Tensor x = random_tensor(random, {R, S, S, F}, DType::kF32), none = Tensor::zeros({0, F});
      const Tensor w = random_tensor(random, {7, 3, 3, F}, DType::kF32), b = random_tensor(random, {7}, DType::kF32);
      const Tensor y = ops::conv2d(x, w, b, {.padding = d, .dilation = d}).reshape({R * S * S, 7});
      const Tensor rows = x.reshape({R * S * S, F});
      CHECK(difference(ops::sps_conv2d(ops::sps_neighbours(s, d), rows, none, w, b), y) < tolerance(DType::kF32));
      const Tensor offset = regular_offsets(s.active(), d, DType::kF32);
      CHECK(difference(ops::sps_deform_conv2d(s, rows, none, offset, w, b), y) < tolerance(DType::kF32));
    }
}

TEST_CASE("sps_deform_conv2d: forward and all gradients agree with the definition on random structures and offsets") {
  const OneThread one;
  for (u64 seed = 0; seed < 800; ++seed) {
    Random random(seed);
    std::vector<double> shares(static_cast<size_t>(random.integer(0, 2)));
    for (double& share : shares) share = random.uniform(0.3, 1);
    const SpsStructure s = random_structure(random, random.integer(0, 2), random.integer(1, 4), shares);
    const i64 Fi = random.integer(1, seed % 8 == 0 ? 70 : 10), Fo = random.integer(1, 10), rows = s.active();
    const Tensor active = random_tensor(random, {rows, Fi}, DType::kF64);
    const Tensor passive = random_tensor(random, {s.passive, Fi}, DType::kF64);
    const Tensor w = random_tensor(random, {Fo, 9 * Fi}, DType::kF64), b = random_tensor(random, {Fo}, DType::kF64);
    const Tensor gy = random_tensor(random, {rows, Fo}, DType::kF64);
    Tensor offset = Tensor::empty({rows, 18}, DType::kF64);
    for (double& value : offset.span<double>()) value = double(random.integer(-512, 511)) / 128 + 1.0 / 256;
    INFO("seed ", seed, ", N_A ", rows, ", N_P ", s.passive, ", Fi ", Fi, ", Fo ", Fo);

    // The four corners of each sample: their ids, weights, and the weights' derivatives by x and y.
    const Tensor features = ops::concat({active, passive, Tensor::zeros({1, Fi}, DType::kF64)}, 0);
    const Tensor gcolumns = ops::linear_backward_input(gy, w);
    Tensor columns = Tensor::zeros({rows, 9 * Fi}, DType::kF64), goffset = Tensor::zeros({rows, 18}, DType::kF64);
    Tensor gfeatures = Tensor::zeros(features.shape(), DType::kF64);
    for (i64 i = 0; i < rows * 9; ++i) {
      const i64* cell = cell_of(s, i / 9);
      const double x = double(cell[ops::kSpsX]) + offset.data<double>()[2 * i],
                   y = double(cell[ops::kSpsY]) + offset.data<double>()[2 * i + 1];
      for (const i64 down : {0, 1})
        for (const i64 right : {0, 1}) {
          const i64 id = id_at(s, cell[ops::kSpsRoi], i64(std::floor(x)) + right, i64(std::floor(y)) + down);
          const double fx = x - std::floor(x), fy = y - std::floor(y);
          const double wx = right ? fx : 1 - fx, wy = down ? fy : 1 - fy;
          for (i64 c = 0; c < Fi; ++c) {
            const double feature = features.data<double>()[id * Fi + c], g = gcolumns.data<double>()[i * Fi + c];
            columns.data<double>()[i * Fi + c] += wx * wy * feature;
            gfeatures.data<double>()[id * Fi + c] += wx * wy * g;
            goffset.data<double>()[2 * i] += (right ? wy : -wy) * feature * g;
            goffset.data<double>()[2 * i + 1] += (down ? wx : -wx) * feature * g;
          }
        }
    }
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      const Tensor a = active.to(dtype), p = passive.to(dtype), weight = w.to(dtype), g = gy.to(dtype);
      const Tensor o = offset.to(dtype);  // exact, as the positions are: multiples of 1/256, none of them whole
      const double most = tolerance(dtype);
      REQUIRE(difference(ops::sps_deform_conv2d(s, a, p, o, weight, b.to(dtype)), ops::linear(columns, w, b)) < most);
      const ops::SpsDeformGradients h = ops::sps_deform_conv2d_backward_features(s, g, a, p, o, weight);
      REQUIRE(difference(h.active, gfeatures.rows(0, rows)) < most);
      REQUIRE(difference(h.passive, gfeatures.rows(rows, rows + s.passive)) < most);
      REQUIRE(difference(h.offset, goffset) < most);
      REQUIRE(difference(ops::sps_deform_conv2d_backward_weight(s, g, a, p, o, w.shape()),
                         ops::linear_backward_weight(gy, columns)) < most);
    }
  }
}

TEST_CASE("sps_deform_conv2d: on the regular grid it is sps_conv2d, with the same gradients") {
  for (u64 seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const SpsStructure s = random_structure(random, 2, random.integer(2, 6), {0.7, 0.5});
    const i64 Fi = random.integer(1, 40), Fo = random.integer(1, 40), d = random.integer(1, 4);
    const Tensor active = random_tensor(random, {s.active(), Fi}, DType::kF64);
    const Tensor passive = random_tensor(random, {s.passive, Fi}, DType::kF64);
    const Tensor w = random_tensor(random, {Fo, 9 * Fi}, DType::kF64), b = random_tensor(random, {Fo}, DType::kF64);
    const Tensor gy = random_tensor(random, {s.active(), Fo}, DType::kF64);
    const Tensor offset = regular_offsets(s.active(), d, DType::kF64);
    const Gathered expected = gather_formulation(s, d, active, passive, w, b, gy);
    CHECK(difference(ops::sps_deform_conv2d(s, active, passive, offset, w, b), expected.y) < 1e-13);
    const ops::SpsDeformGradients g = ops::sps_deform_conv2d_backward_features(s, gy, active, passive, offset, w);
    CHECK(difference(g.active, expected.gactive) < 1e-13);
    CHECK(difference(g.passive, expected.gpassive) < 1e-13);
    CHECK(difference(ops::sps_deform_conv2d_backward_weight(s, gy, active, passive, offset, w.shape()), expected.gw) <
          1e-13);
  }
}

TEST_CASE("sps_conv2d and sps_deform_conv2d: the bits do not depend on the number of threads") {
  Random random(3);
  for (const i64 F : {12, 40}) {
    const SpsStructure s = random_structure(random, 6, 10, {0.8, 0.5});
    const ops::SpsNeighbours neighbours = ops::sps_neighbours(s, 3);
    const Tensor active = random_tensor(random, {s.active(), F}, DType::kF32);
    const Tensor passive = random_tensor(random, {s.passive, F}, DType::kF32);
    const Tensor w = random_tensor(random, {F, 9 * F}, DType::kF32),
                 gy = random_tensor(random, {s.active(), F}, DType::kF32);
    Tensor offset = Tensor::empty({s.active(), 18});
    random.fill_uniform(offset, -3, 3);
    const auto all = [&] {
      const ops::SpsGradients g = ops::sps_conv2d_backward(neighbours, gy, active, passive, w);
      const ops::SpsDeformGradients h = ops::sps_deform_conv2d_backward_features(s, gy, active, passive, offset, w);
      return std::vector<Tensor>{ops::sps_neighbours(s, 3).ids,
                                 ops::sps_conv2d(neighbours, active, passive, w, Tensor()),
                                 g.active,
                                 g.passive,
                                 g.weight,
                                 ops::sps_deform_conv2d(s, active, passive, offset, w, Tensor()),
                                 h.active,
                                 h.passive,
                                 h.offset,
                                 ops::sps_deform_conv2d_backward_weight(s, gy, active, passive, offset, w.shape())};
    };
    check_threads(all);
  }
}

TEST_CASE("sps_conv2d: NaN reaches the cells that see it and no others, in tiles too") {
  Random random(4);
  const i64 F = 32, S = 20;
  const SpsStructure s = random_structure(random, 1, S, {});
  Tensor active = random_tensor(random, {S * S, F}, DType::kF32);
  active.data<float>()[(9 * S + 6) * F + 3] = NAN;
  const Tensor w = random_tensor(random, {F, 9 * F}, DType::kF32);
  for (const i64 d : {1, 3}) {
    const Tensor y = ops::sps_conv2d(ops::sps_neighbours(s, d), active, Tensor::zeros({0, F}), w, Tensor());
    for (i64 a = 0; a < S * S; ++a) {
      const i64 dx = std::abs(a % S - 6), dy = std::abs(a / S - 9);
      CHECK(std::isnan(y.data<float>()[a * F]) == ((dx == 0 || dx == d) && (dy == 0 || dy == d)));
    }
  }
}

TEST_CASE("sps_conv2d: neighbours of more rows than there are features are an error") {
  Random random(5);
  const SpsStructure s = random_structure(random, 1, 3, {});
  ops::SpsNeighbours neighbours = ops::sps_neighbours(s, 1);
  const Tensor x = Tensor::zeros({9, 2}), none = Tensor::zeros({0, 2}), w = Tensor::zeros({2, 18});
  neighbours.ids.data<i32>()[4] = 11;
  CHECK_ERROR(ops::sps_conv2d(neighbours, x, none, w, Tensor()),
              "sps_conv2d: the neighbours were made for more than 9 rows");
  neighbours.ids.data<i32>()[4] = -1;
  CHECK_ERROR(ops::sps_conv2d_backward(neighbours, x, x, none, w), "made for more than 9 rows");
  neighbours.ids = neighbours.ids.to(DType::kI64);
  CHECK_ERROR(ops::sps_conv2d(neighbours, x, none, w, Tensor()),
              "sps_conv2d: the neighbours must be i32 [N_A, 9] (sps_neighbours makes them), got i64 [9, 9]");
}

}  // namespace tessera::test
