// What the devices other than the CPU do where the op cases cannot ask all devices alike: values that only the CPU
// refuses, dtypes that are not computed with, and decisions that must be the CPU's to the bit.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "ops/arrange.h"
#include "ops/assignment.h"
#include "ops/boxes.h"
#include "ops/conv2d.h"
#include "ops/group_norm.h"
#include "ops/layer_norm.h"
#include "ops/losses.h"
#include "ops/mask_runs.h"
#include "ops/matmul.h"
#include "ops/optimizer.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/roi_align.h"
#include "ops/scale_rows.h"
#include "ops/softmax.h"
#include "ops/sort.h"
#include "ops/sps.h"
#include "tests/ops/op_case.h"
#include "tests/support/check_error.h"

namespace tessera::test {

namespace {

template <class F>
void on_other_devices(const F& check) {
  for (const Device device : registered_devices())
    if (device.kind != DeviceKind::kCpu) check(device);
}

template <class T>
std::vector<T> list(const Tensor& x) {
  const Tensor host = x.to_host();
  return {host.span<T>().begin(), host.span<T>().end()};
}

template <class T>
void check_moves(Device device) {
  std::vector<T> values(60);
  std::iota(values.begin(), values.end(), T{1});
  const Tensor host = Tensor::from(values, {3, 4, 5}), x = host.to(device);
  const Tensor rows = Tensor::from(std::vector<i64>{2, 0, 2});
  const auto same = [](const Tensor& a, const Tensor& b) { CHECK(list<T>(a) == list<T>(b)); };
  for (const std::vector<int>& order : {std::vector<int>{1, 0, 2}, {2, 1, 0}, {0, 2, 1}})
    same(ops::permute(x, order), ops::permute(host, order));
  for (const int dim : {1, 2}) same(ops::slice(x, dim, 1, 3), ops::slice(host, dim, 1, 3));
  same(ops::slice(x.rows(1, 3), 1, 1, 3), ops::slice(host.rows(1, 3), 1, 1, 3));  // begins at an odd address
  same(ops::concat({x, x}, 2), ops::concat({host, host}, 2));
  same(ops::gather_rows(x, rows.to(device)), ops::gather_rows(host, rows));
}

}  // namespace

TEST_CASE("devices: an operator with bf16 kernels names that type among those it takes, one without does not") {
  const Tensor x = Tensor::zeros({2, 3, 3, 4}, DType::kI64);
  const char* const types = "use f32, f64 (on the CPU) or bf16 (on CUDA devices)";
  const ops::RoiAlignParams one_bin{.height = 1, .width = 1};
  CHECK_ERROR(ops::relu(x), types);
  CHECK_ERROR(ops::sum(x, {0}), types);
  CHECK_ERROR(ops::matmul(x, x), types);
  CHECK_ERROR(ops::conv2d(x, x, Tensor(), {}), types);
  CHECK_ERROR(ops::layer_norm(x, Tensor(), Tensor(), 1e-5), types);
  CHECK_ERROR(ops::group_norm(x, 2, Tensor(), Tensor(), 1e-5), types);
  CHECK_ERROR(ops::roi_align(x, x, one_bin), types);
  CHECK_ERROR(ops::softmax(x, 0), "dtype i64 is not supported, use f32 or f64");
}

TEST_CASE("devices: rows, positions and classes outside are not read, and give what the headers say") {
  on_other_devices([](Device device) {
    const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}).to(device);
    const Tensor outside = Tensor::from(std::vector<i64>{1, 2, -1}).to(device);
    CHECK(list<float>(ops::gather_rows(x, outside)) == std::vector<float>{3, 4, 0, 0, 0, 0});
    const auto flat = list<i64>(ops::flat_rows(outside.reshape({1, 3}), 2));
    CHECK(flat == std::vector<i64>{1, -1, -1});
    const Tensor three = Tensor::from(std::vector<float>{1, 2, 3}).to(device);
    CHECK(list<float>(ops::scatter_add_rows(three, outside, 2)) == std::vector<float>{0, 1});
    CHECK(list<float>(ops::top_k_backward(three, outside, {2})) == std::vector<float>{0, 1});
    CHECK(list<float>(ops::indicator_matrix(outside, outside, 2, 2)) == std::vector<float>{0, 0, 0, 1});
    const Tensor pair = Tensor::from(std::vector<i64>{5, 1}).to(device);
    CHECK(list<float>(ops::max_backward(three.rows(0, 2), pair, {2, 2}, 1)) == std::vector<float>{0, 0, 0, 2});
    Tensor map = Tensor::zeros({2, 1}, DType::kF32, device);
    ops::overwrite_rows_kernels(three.reshape({3, 1}), outside, map);
    CHECK(list<float>(map) == std::vector<float>{0, 1});

    const std::vector<float> losses = list<float>(ops::cross_entropy(x, pair, ops::Reduction::kNone));
    CHECK(std::isnan(losses[0]));
    CHECK(losses[1] == doctest::Approx(std::log1p(std::exp(-1.0))));
    const Tensor gy = Tensor::full({2}, 1, DType::kF32, device);
    const auto gradient = list<float>(ops::cross_entropy_backward(gy, x, pair, ops::Reduction::kNone));
    CHECK(std::isnan(gradient[1]));
    CHECK(std::isfinite(gradient[2]));

    const Tensor masks = Tensor::full({1, 2, 3}, 1, DType::kF32, device);
    const auto weights = [&](const std::vector<i32>& index) {
      const i64 n = std::ssize(index) / 4;
      return ops::AxisWeights{Tensor::from(index, {n, 4}).to(device), Tensor::full({n, 4}, 0.25, DType::kF32, device)};
    };
    const ops::AxisWeights rows = weights({1, 1, 1, 1, 1, 0, 2, 0}), columns = weights({2, 2, 2, 2, -1, 3, 1 << 30, 0});
    const ops::MaskRuns runs = ops::mask_runs(masks, {}, rows, columns, 0.6, 3);
    CHECK(list<i64>(runs.offsets) == std::vector<i64>{0, 3});
    CHECK(list<i32>(runs.ends) == std::vector<i32>{0, 1, 4});  // the pixels that read outside are below 0.6

    const Tensor nan = Tensor::from(std::vector<float>{1, NAN, INFINITY}).to(device);
    CHECK(list<i64>(ops::top_k(nan, 2).indices) == std::vector<i64>{1, 2});
  });
}

TEST_CASE("devices: what only moves elements takes every dtype") {
  on_other_devices([](Device device) {
    check_moves<u8>(device);
    check_moves<i32>(device);
    check_moves<float>(device);
    check_moves<i64>(device);
    check_moves<double>(device);
    const Tensor half = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}).to(DType::kF16).to(device);
    CHECK(list<float>(ops::permute(half, {1, 0}).to(DType::kF32)) == std::vector<float>{1, 4, 2, 5, 3, 6});
  });
}

TEST_CASE("devices: the first of equal maxima, the first NaN, and a place far beyond one block") {
  on_other_devices([](Device device) {
    Tensor x = Tensor::zeros({2, 30000});
    for (const i64 at : {i64{17001}, i64{17002}, i64{29999}})
      x.data<float>()[at] = 1, x.data<float>()[30000 + at] = NAN;
    x.data<float>()[30005] = INFINITY;
    const auto [values, indices] = ops::max(x.to(device), 1);
    CHECK(list<i64>(indices) == std::vector<i64>{17001, 17001});
    CHECK(values.rows(0, 1).item() == 1);
    CHECK(ops::sum_of_squares(x.rows(0, 1).to(device)).item() == 3);
    const Tensor twos = Tensor::full({70000}, 2, DType::kF32, device);
    CHECK(ops::sum_of_squares(std::vector<Tensor>{twos, twos.rows(0, 1)}).item() == 280004);
    CHECK(ops::all_finite(x.rows(0, 1).to(device)));
    CHECK_FALSE(ops::all_finite(x.to(device)));
  });
}

TEST_CASE("devices: tensors of an update that lie elsewhere are named") {
  on_other_devices([](Device device) {
    const Tensor here = Tensor::zeros({2}), there = here.to(device);
    std::vector<ops::LerpUpdate> updates{{there, there}, {there, here}};
    CHECK_ERROR(ops::lerp_into(updates, 0.5), fmt::format("lerp_into: source 1 lies on cpu, the target on {}", device));
    updates = {{there, there}, {here, here}};
    CHECK_ERROR(ops::lerp_into(updates, 0.5),
                fmt::format("lerp_into: target 1 lies on cpu, other tensors on {}", device));
    std::vector<ops::ScaledRows> rows{{there, there}, {there, here}};
    CHECK_ERROR(ops::scale_rows(rows), fmt::format("scale_rows: source 1 lies on cpu, the target on {}", device));
    rows = {{there, there, here}};
    CHECK_ERROR(ops::scale_rows(rows), "scale_rows: scale 0 is f32 [2] on cpu, it must be [rows]");
    CHECK_ERROR(ops::sum_of_squares(std::vector{there, here}),
                fmt::format("sum_of_squares: one tensor lies on {}, another on cpu", device));
  });
}

TEST_CASE("devices: nms keeps the boxes that the CPU keeps, of many on few corners") {
  Random random(5);
  on_other_devices([&](Device device) {
    for (int trial = 0; trial < 40; ++trial) {
      const i64 N = random.integer(1, trial % 8 == 0 ? 300 : 70);
      Tensor boxes = Tensor::empty({N, 4}), scores = Tensor::empty({N}), labels = Tensor::empty({N}, DType::kI64);
      for (i64 i = 0; i < N; ++i) {
        float* box = boxes.data<float>() + 4 * i;
        for (int k = 0; k < 4; ++k)
          box[k] = static_cast<float>(random.integer(0, 9)) / 3 + (k >= 2 ? box[k - 2] : 0.0F);
        scores.data<float>()[i] = static_cast<float>(random.integer(0, 20));
        labels.data<i64>()[i] = random.integer(0, 2);
      }
      for (const double threshold : {0.25, 0.5, 1.0 / 3}) {
        CHECK(list<i64>(ops::nms(boxes.to(device), scores.to(device), threshold)) ==
              list<i64>(ops::nms(boxes, scores, threshold)));
        CHECK(list<i64>(ops::batched_nms(boxes.to(device), scores.to(device), labels.to(device), threshold)) ==
              list<i64>(ops::batched_nms(boxes, scores, labels, threshold)));
      }
    }
  });
}

TEST_CASE("devices: linear_sum_assignment chooses as the CPU does, and refuses what it refuses") {
  Random random(13);
  on_other_devices([&](Device device) {
    for (int trial = 0; trial < 60; ++trial) {
      Tensor cost = Tensor::empty({random.integer(1, 20), random.integer(1, 40)});
      const i64 different = random.integer(1, 30);
      for (float& value : cost.span<float>())
        value = trial % 3 == 0 ? static_cast<float>(random.normal()) : static_cast<float>(random.integer(1, different));
      for (const bool maximize : {false, true}) {
        const ops::Assignment here = ops::linear_sum_assignment(cost, maximize),
                              there = ops::linear_sum_assignment(cost.to(device), maximize);
        CHECK(list<i64>(here.rows) == list<i64>(there.rows));
        CHECK(list<i64>(here.columns) == list<i64>(there.columns));
      }
    }
    const auto matrix = [&](const std::vector<float>& values, const Shape& shape) {
      return Tensor::from(values, shape).to(device);
    };
    CHECK_ERROR(ops::linear_sum_assignment(matrix({1, 2, NAN, NAN}, {2, 2})), "cost[1, 0] is nan in [2, 2]");
    CHECK_ERROR(ops::linear_sum_assignment(matrix({1, INFINITY}, {2, 1}), true), "cost[1, 0] is inf in [2, 1]");
    CHECK_ERROR(ops::linear_sum_assignment(matrix({1, INFINITY, 2, INFINITY}, {2, 2})),
                "infeasible, row 1 of [2, 2] has no partner left at finite cost");
  });
}

}  // namespace tessera::test
