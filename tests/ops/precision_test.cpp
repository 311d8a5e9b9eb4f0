// Matrix products in bfloat16 parts (ops/cpu/bf16_gemm.h). On a machine without a tile unit its plain twin runs, and
// once the unit's own code with its instructions emulated.
#include "ops/precision.h"

#include <omp.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "ops/cpu/bf16_gemm.h"
#include "ops/matmul.h"
#include "tests/ops/amx_emulation.h"
#include "tests/ops/compare.h"

namespace tessera::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A product whose operands lie like a convolution's: A in runs, B transposed, several items, bias and ReLU.
struct Product {
  i64 items, rows, columns, runs, run_depth;
  bool a_by_columns = false, keep_b = true, bias = true, residual = false, relu = false;
  float ceiling = kInfinity;
  Tensor a = {}, b = {}, shift = {}, added = {};

  i64 depth() const { return runs * run_depth; }

  Product& fill(u64 seed) {
    a = Tensor::empty({items, rows, depth()});
    b = Tensor::empty({items, columns, depth()});
    shift = Tensor::empty({items, columns});
    Random(seed).fill_uniform(a, -1, 1);
    Random(seed + 1).fill_uniform(b, -1, 1);
    Random(seed + 2).fill_uniform(shift, -1, 1);
    added = Tensor::empty({items, rows, columns});
    Random(seed + 3).fill_uniform(added, -1, 1);
    return *this;
  }

  template <class Run>
  Tensor operator()(const Run& run) const {
    Tensor c = Tensor::empty({items, rows, columns});
    Tensor transposed;
    cpu::Gemm<float> gemm{.items = items, .rows = rows, .columns = columns, .runs = runs, .run_depth = run_depth};
    if (a_by_columns) {
      gemm.runs = 1;
      gemm.run_depth = depth();
      transposed = Tensor::empty({items, depth(), rows});
      for (i64 item = 0; item < items; ++item)
        for (i64 i = 0; i < rows; ++i)
          for (i64 k = 0; k < depth(); ++k)
            transposed.data<float>()[(item * depth() + k) * rows + i] =
                a.data<float>()[(item * rows + i) * depth() + k];
      gemm.a_columns = transposed.data<float>();
      gemm.a_step = rows;
      gemm.a_item_stride = rows * depth();
    } else {
      gemm.a_rows = [&](i64 item, i64 row, i64 count, const float** table, float*) {
        for (i64 i = 0; i < count; ++i)
          for (i64 t = 0; t < runs; ++t)
            table[(i / cpu::kTileRows * runs + t) * cpu::kTileRows + i % cpu::kTileRows] =
                a.data<float>() + (item * rows + row + i) * depth() + t * run_depth;
      };
    }
    gemm.pack_b = cpu::pack_b_transposed(b.data<float>(), depth(), columns * depth());
    gemm.keep_b = keep_b;
    gemm.c_rows = cpu::matrix_rows_out(c.data<float>(), columns, rows * columns);
    gemm.bias = bias ? shift.data<float>() : nullptr;
    if (residual)
      gemm.residual_rows = cpu::matrix_rows_out(std::as_const(added).data<float>(), columns, rows * columns);
    gemm.relu = relu;
    gemm.ceiling = ceiling;
    run(gemm);
    return c;
  }

  // The largest error against f64, relative to the sum of the products' sizes.
  double error(const Tensor& c) const {
    double worst = 0;
    for (i64 item = 0; item < items; ++item)
      for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < columns; ++j) {
          const float *x = a.data<float>() + (item * rows + i) * depth(),
                      *y = b.data<float>() + (item * columns + j) * depth();
          double sum = bias ? shift.data<float>()[item * columns + j] : 0, size = std::abs(sum);
          for (i64 k = 0; k < depth(); ++k) sum += double(x[k]) * y[k], size += std::abs(double(x[k]) * y[k]);
          if (residual) {
            const double more = added.data<float>()[(item * rows + i) * columns + j];
            sum += more, size += std::abs(more);
          }
          if (relu) sum = std::min(std::max(0.0, sum), double(ceiling));
          worst = std::max(worst, std::abs(c.data<float>()[(item * rows + i) * columns + j] - sum) / (size + 1e-30));
        }
    return worst;
  }
};

const auto with_parts = [](int parts) {
  return [parts](const cpu::Gemm<float>& gemm) { cpu::run_in_parts(gemm, parts); };
};
// The same with B split beforehand.
const auto with_split_b = [](int parts) {
  return [parts](const cpu::Gemm<float>& gemm) {
    std::vector<std::uint16_t> split_b(static_cast<size_t>(cpu::split_b_size(gemm, parts)));
    REQUIRE(cpu::split_whole_b(gemm, parts, split_b.data()));
    cpu::Gemm<float> without_b = gemm;
    without_b.pack_b = nullptr;
    cpu::run_in_parts(without_b, parts, split_b.data());
  };
};
const auto exactly = [](const cpu::Gemm<float>& gemm) { cpu::run_exactly(gemm); };

}  // namespace

TEST_CASE("precision: products in one, two and three bfloat16 parts have the errors of their level at every shape") {
  Random random(7);
  const auto draw = [&](i64 most) { return 1 + static_cast<i64>(random.uniform() * double(most)); };
  double worst[4] = {};
  for (int round = 0; round < 60; ++round) {
    Product product{.items = draw(3), .rows = draw(150), .columns = draw(90), .runs = draw(4), .run_depth = draw(100)};
    product.a_by_columns = random.uniform() < 0.3;
    product.keep_b = random.uniform() < 0.7;
    product.bias = random.uniform() < 0.5;
    product.residual = random.uniform() < 0.3;
    product.relu = random.uniform() < 0.3;
    if (random.uniform() < 0.3) product.ceiling = 2;
    product.fill(static_cast<u64>(round));
    for (int parts = 1; parts <= 3; ++parts)
      worst[parts] = std::max(worst[parts], product.error(product(with_parts(parts))));
  }
  CHECK(worst[1] < 0x1p-7);
  CHECK(worst[1] > 0x1p-12);  // it is no f32 product
  CHECK(worst[2] < 0x1p-14);
  CHECK(worst[2] > 0x1p-23);
  CHECK(worst[3] < 0x1p-21);
}

TEST_CASE("precision: over a long sum three parts are at least as exact as f32 products, two nearly so") {
  Product product{.items = 1, .rows = 40, .columns = 40, .runs = 9, .run_depth = 256, .bias = false};
  product.fill(3);
  const double three = product.error(product(with_parts(3))), two = product.error(product(with_parts(2))),
               f32 = product.error(product(exactly));
  INFO("three ", three, " two ", two, " f32 ", f32);
  CHECK(three <= f32);
  CHECK(two <= 20 * f32);
}

TEST_CASE("precision: infinities, NaN and numbers beyond bfloat16's largest give what f32 gives") {
  for (const float odd : {kInfinity, -kInfinity, std::nanf(""), std::numeric_limits<float>::max()})
    for (const bool in_a : {true, false})
      for (const bool keep_b : {true, false}) {
        Product product{.items = 2, .rows = 300, .columns = 70, .runs = 1, .run_depth = 70, .keep_b = keep_b};
        product.fill(5);
        Tensor& operand = in_a ? product.a : product.b;
        operand.data<float>()[product.depth() * 33 + 69] = odd;  // of the first item
        const Tensor reference = product(exactly), c = product(with_parts(2));
        const i64 first = in_a ? 33 * 70 : 33, step = in_a ? 1 : 70, count = in_a ? 70 : 300;
        for (i64 i = 0; i < count; ++i) {
          const float found = c.data<float>()[first + i * step], expected = reference.data<float>()[first + i * step];
          CHECK((found == expected || (std::isnan(found) && std::isnan(expected))));
        }
        i64 finite = 0;
        for (i64 i = 0; i < c.numel(); ++i) finite += std::isfinite(c.data<float>()[i]);
        CHECK(finite >= c.numel() - count);
      }
}

TEST_CASE("precision: a B split beforehand gives the same bits") {
  Random random(9);
  const auto draw = [&](i64 most) { return 1 + static_cast<i64>(random.uniform() * double(most)); };
  for (int round = 0; round < 20; ++round) {
    Product product{.items = draw(3), .rows = draw(300), .columns = draw(300), .runs = draw(4), .run_depth = draw(100)};
    product.keep_b = random.uniform() < 0.5;
    product.fill(static_cast<u64>(round));
    for (int parts = 1; parts <= 3; ++parts) CHECK(same_bits(product(with_parts(parts)), product(with_split_b(parts))));
  }
}

TEST_CASE("precision: with a B split beforehand an infinity in A meets the sum of B's parts") {
  Product product{.items = 2, .rows = 300, .columns = 70, .runs = 2, .run_depth = 35, .bias = false};
  product.fill(5);
  product.a.data<float>()[product.depth() * 333 + 69] = kInfinity;  // row 33 of the second item
  const Tensor reference = product(exactly), c = product(with_split_b(3));
  // Both rows were computed in f32.
  for (const i64 row : {332, 333})
    for (i64 j = row * 70; j < (row + 1) * 70; ++j) CHECK(c.data<float>()[j] == reference.data<float>()[j]);
}

TEST_CASE("precision: a B with an infinity cannot be split beforehand") {
  Product product{.items = 1, .rows = 40, .columns = 70, .runs = 1, .run_depth = 70};
  product.fill(5);
  product.b.data<float>()[777] = kInfinity;
  product([](const cpu::Gemm<float>& gemm) {
    std::vector<std::uint16_t> split_b(static_cast<size_t>(cpu::split_b_size(gemm, 2)));
    CHECK(!cpu::split_whole_b(gemm, 2, split_b.data()));
    cpu::run_exactly(gemm);
  });
}

TEST_CASE("precision: a product in parts has the same bits with every number of threads") {
  Product product{.items = 2, .rows = 200, .columns = 300, .runs = 3, .run_depth = 50};
  product.fill(11);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Tensor one = product(with_parts(2));
  for (const int threads : {2, 3, 7}) {
    omp_set_num_threads(threads);
    CHECK(same_bits(one, product(with_parts(2))));
  }
  omp_set_num_threads(before);
}

TEST_CASE("precision: products without rows, columns or depth are empty or the bias") {
  for (const auto& [rows, columns, depth] : {std::array<i64, 3>{0, 4, 4}, {4, 0, 4}, {4, 4, 0}}) {
    Product product{.items = 1, .rows = rows, .columns = columns, .runs = 1, .run_depth = depth};
    product.fill(1);
    CHECK(same_bits(product(with_parts(1)), product(exactly)));
  }
}

#if defined(__x86_64__) && defined(__linux__)

// The kernels as they are compiled at one level, whatever the machine has.
const simd::Bf16Kernels& kernels_of(SimdLevel level) {
  return *simd::bf16_kernels.at(level);
}

const auto with_kernels = [](const simd::Bf16Kernels& kernels, int parts) {
  return [&kernels, parts](const cpu::Gemm<float>& gemm) { cpu::run_in_parts(gemm, parts, nullptr, kernels); };
};

// What surrounds the tile instructions is compiled for AVX-512.
bool can_run_unit_code() {
  const bool can = simd_level() >= SimdLevel::kAvx512;
  if (!can) MESSAGE("skipped: the unit's code needs AVX-512");
  return can;
}

TEST_CASE("precision: the tile instructions give the same bits as their plain twin") {
  if (!can_run_unit_code()) return;
  const simd::Bf16Kernels unit = kernels_of(SimdLevel::kAmx), twin = kernels_of(SimdLevel::kBaseline);
  const Product shapes[] = {
      {.items = 1, .rows = 1, .columns = 1, .runs = 1, .run_depth = 1},
      {.items = 1, .rows = 16, .columns = 16, .runs = 1, .run_depth = 32},
      {.items = 2, .rows = 33, .columns = 17, .runs = 1, .run_depth = 31},
      {.items = 1, .rows = 37, .columns = 45, .runs = 9, .run_depth = 5},
      {.items = 1, .rows = 63, .columns = 65, .runs = 1, .run_depth = 289},  // more than one piece of K
      {.items = 1, .rows = 131, .columns = 259, .runs = 1, .run_depth = 67, .keep_b = false},
      {.items = 1, .rows = 131, .columns = 67, .runs = 3, .run_depth = 33, .residual = true, .relu = true},
      {.items = 1, .rows = 45, .columns = 33, .runs = 1, .run_depth = 71, .a_by_columns = true},
  };
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  const AmxEmulation emulation;
  u64 seed = 0;
  for (Product product : shapes) {
    product.fill(++seed);
    for (int parts = 1; parts <= 3; ++parts) {
      INFO("rows ", product.rows, ", columns ", product.columns, ", depth ", product.depth(), ", parts ", parts);
      CHECK(same_bits(product(with_kernels(unit, parts)), product(with_kernels(twin, parts))));
    }
  }
  omp_set_num_threads(before);
  CHECK(emulation.fault() == "");
  CHECK((emulation.instructions() > 0) == (simd_level() != SimdLevel::kAmx));
}

TEST_CASE("precision: the tile instructions take denormal numbers as zero") {
  if (!can_run_unit_code()) return;
  const simd::Bf16Kernels unit = kernels_of(SimdLevel::kAmx);
  const AmxEmulation emulation;
  Product product{.items = 1, .rows = 3, .columns = 5, .runs = 1, .run_depth = 7, .bias = false};
  product.fill(1);
  for (i64 k = 0; k < 7; ++k) {
    product.a.data<float>()[k] = 1e-39f;      // a denormal operand
    product.a.data<float>()[7 + k] = 1e-30f;  // its products are denormal: b is 2^-30
    product.a.data<float>()[14 + k] = 1;
    for (i64 j = 0; j < 5; ++j) product.b.data<float>()[j * 7 + k] = 0x1p-30f;
  }
  const Tensor c = product(with_kernels(unit, 1));
  for (i64 j = 0; j < 10; ++j) CHECK(c.data<float>()[j] == 0);
  for (i64 j = 10; j < 15; ++j) CHECK(c.data<float>()[j] == 7 * 0x1p-30f);
  CHECK(emulation.fault() == "");
}

#endif

TEST_CASE("precision: without a tile unit every level is the highest") {
  Tensor x = Tensor::empty({70, 300}), w = Tensor::empty({50, 300});
  Random(1).fill_uniform(x, -1, 1);
  Random(2).fill_uniform(w, -1, 1);
  const Tensor highest = ops::linear(x, w, Tensor());
  for (const Precision level : {Precision::kHigh, Precision::kMedium}) {
    const ArithmeticScope arithmetic({.precision = level});
    const Tensor y = ops::linear(x, w, Tensor());
    CHECK(same_bits(highest, y) == !has_tiles());
  }
}

}  // namespace tessera::test
