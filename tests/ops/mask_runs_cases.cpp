// Cases of mask_runs and maskness.
#include <cmath>

#include "ops/mask_runs.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

double logistic(double x) {
  return 1 / (1 + std::exp(-x));
}

// One axis: four inputs and their weights for each output, weights in whole 64ths.
struct Axis {
  i64 in = 1;
  std::vector<i32> index = {};
  std::vector<double> weight = {};

  i64 out() const { return std::ssize(index) / ops::kAxisWeights; }
  ops::AxisWeights weights(DType dtype, Device device) const {
    const Shape shape{out(), ops::kAxisWeights};
    return {Tensor::from(index, shape).to(device), Tensor::from(weight, shape).to(dtype).to(device)};
  }
  void add(std::vector<std::pair<i64, double>> weights) {
    weights.resize(ops::kAxisWeights, {0, 0});
    for (const auto& [from, share] : weights) index.push_back(static_cast<i32>(from)), weight.push_back(share);
  }
};

// Every output is one input.
Axis copied(i64 n) {
  Axis axis{.in = n};
  for (i64 o = 0; o < n; ++o) axis.add({{o, 1}});
  return axis;
}

// Two neighbours each, as in a bilinear resize.
Axis bilinear(i64 in, i64 out) {
  Axis axis{.in = in};
  for (i64 o = 0; o < out; ++o) {
    const double at =
        std::max(0.0, (static_cast<double>(o) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5);
    const i64 below = std::min(static_cast<i64>(at), in - 1);
    const double part = below + 1 < in ? std::floor((at - static_cast<double>(below)) * 64) / 64 : 0;
    if (part == 0)
      axis.add({{below, 1}});
    else
      axis.add({{below, 1 - part}, {below + 1, part}});
  }
  return axis;
}

// One to four inputs anywhere; what stands behind a weight of 0 must not count.
Axis scattered(i64 in, i64 out) {
  Random random(static_cast<u64>(in * 1000 + out));
  Axis axis{.in = in};
  for (i64 o = 0; o < out; ++o) {
    const i64 count = random.integer(1, ops::kAxisWeights);
    std::vector<std::pair<i64, double>> weights;
    for (i64 t = 0; t < ops::kAxisWeights; ++t)
      weights.emplace_back(random.integer(0, in - 1),
                           t == count ? 0.0 : static_cast<double>(random.integer(1, 32)) / 64);
    axis.add(weights);
  }
  return axis;
}

double sum_over(const Axis& axis, i64 o, const std::function<double(i64)>& value) {
  double sum = 0;
  for (i64 t = o * ops::kAxisWeights; t < (o + 1) * ops::kAxisWeights; ++t) {
    const double weight = axis.weight[static_cast<size_t>(t)];
    if (weight == 0) break;
    sum += weight * value(axis.index[static_cast<size_t>(t)]);
  }
  return sum;
}

using Kept = std::vector<u8>;  // empty: all

bool is_kept(const Kept& kept, i64 k) {
  return kept.empty() || kept[static_cast<size_t>(k)] != 0;
}

Tensor tensor_of(const Kept& kept, Device device) {
  return kept.empty() ? Tensor() : Tensor::from(kept).to(device);
}

// Pixel by pixel, from the top of each column to its end.
References naive_runs(const Tensor& masks, const Kept& kept, const Axis& rows, const Axis& columns, double threshold,
                      i64 room) {
  std::vector<double> ends, offsets = {0};
  for (i64 k = 0; k < masks.dim(0); ++k) {
    bool inside = false;
    double pixel = 0;
    for (i64 X = 0; X < columns.out() && is_kept(kept, k); ++X)
      for (i64 Y = 0; Y < rows.out(); ++Y, ++pixel) {
        const double p = sum_over(
            columns, X, [&](i64 x) { return sum_over(rows, Y, [&](i64 y) { return logistic(at(masks, k, y, x)); }); });
        if ((p > threshold) == inside) continue;
        ends.push_back(pixel);
        inside = !inside;
      }
    if (is_kept(kept, k)) ends.push_back(pixel);
    offsets.push_back(static_cast<double>(ends.size()));
  }
  ends.resize(std::min(ends.size(), static_cast<size_t>(room)));
  return {Tensor::from(ends), Tensor::from(offsets)};
}

References naive_maskness(const Tensor& masks, const Kept& kept, double threshold) {
  Tensor y = Tensor::zeros({masks.dim(0)}, DType::kF64);
  for (i64 k = 0; k < masks.dim(0); ++k) {
    double sum = 0, count = 0;
    for (i64 i = 0; i < masks.dim(1) && is_kept(kept, k); ++i)
      for (i64 j = 0; j < masks.dim(2); ++j) {
        const double p = logistic(at(masks, k, i, j));
        if (p > threshold) sum += p, count += 1;
      }
    at(y, k) = sum / (count + 1e-6);
  }
  return y;
}

// [1, h, w] with the sign that `above` gives each pixel.
Input drawn(i64 h, i64 w, const std::function<bool(i64 y, i64 x)>& above) {
  std::vector<double> v;
  for (i64 i = 0; i < h * w; ++i) v.push_back(above(i / w, i % w) ? 2 : -2);
  return values({1, h, w}, v);
}

}  // namespace

OP_CASES(mask_runs) {
  const auto one = [&](const std::string& name, const Input& masks, const Kept& kept, const Axis& rows,
                       const Axis& columns, double threshold = 0.5, i64 room = 1 << 14) {
    add({.name = fmt::format("{} {}x{} -> {}x{} threshold={}", name, rows.in, columns.in, rows.out(), columns.out(),
                             threshold),
         .in = {masks},
         .run =
             [=](const Vars& v) {
               const Tensor& maps = v[0].value();
               const ops::MaskRuns found =
                   ops::mask_runs(maps, tensor_of(kept, maps.device()), rows.weights(maps.dtype(), maps.device()),
                                  columns.weights(maps.dtype(), maps.device()), threshold, room);
               const i64 count = found.offsets.to_host().span<i64>().back();
               return Outputs{Var(found.ends.rows(0, std::min(count, room))), Var(found.offsets)};
             },
         .reference = [=](const Tensors& t) { return naive_runs(t[0], kept, rows, columns, threshold, room); }});
  };
  one("enlarged", uniform({4, 5, 7}, -3, 3), {1, 0, 1, 255}, bilinear(5, 23), bilinear(7, 19), 0.45);
  one("made smaller", uniform({2, 40, 50}, -3, 3), {}, bilinear(40, 9), bilinear(50, 7));
  one("up to four weights anywhere", uniform({3, 37, 35}, -3, 3), {}, scattered(37, 70), scattered(35, 67), 0.6);
  one("more words than a block has", uniform({5, 40, 33}, -2, 2), {}, bilinear(40, 150), bilinear(33, 70));
  one("fewer places than runs", uniform({5, 40, 33}, -2, 2), {1, 1, 0, 1, 1}, bilinear(40, 150), bilinear(33, 70), 0.5,
      700);
  one("the last alone", uniform({3, 9, 8}, -2, 2), {0, 0, 1}, bilinear(9, 50), bilinear(8, 30));
  one("all but the last", uniform({3, 9, 8}, -2, 2), {1, 1, 0}, bilinear(9, 50), bilinear(8, 30));
  one("one pixel, above and below", values({2, 1, 1}, {2, -2}), {}, copied(1), copied(1));
  one("one pixel enlarged", values({2, 1, 1}, {2, -2}), {}, bilinear(1, 45), bilinear(1, 3));
  one("one column", uniform({2, 70, 1}), {}, copied(70), copied(1));
  one("one row", uniform({2, 1, 70}), {}, copied(1), copied(70));
  one("none kept", uniform({3, 5, 4}), {0, 0, 0}, bilinear(5, 20), bilinear(4, 9));
  one("no maps", uniform({0, 5, 4}), {}, bilinear(5, 20), bilinear(4, 9));
  for (const i64 height : {31, 32, 33, 64}) {  // around a word
    one("all above", constant({1, height, 3}, 5), {}, copied(height), copied(3));
    one("all below", constant({1, height, 3}, -5), {}, copied(height), copied(3));
    const auto picture = [&](const std::string& name, i64 width, const std::function<bool(i64 y, i64 x)>& above) {
      one(name, drawn(height, width, above), {}, copied(height), copied(width));
    };
    picture("every second column", 5, [](i64, i64 x) { return x % 2 == 1; });
    picture("from the first column on", 2, [](i64, i64 x) { return x == 0; });
    picture("the last row and the first", 4, [=](i64 y, i64) { return y == 0 || y == height - 1; });
    picture("the last row", 4, [=](i64 y, i64) { return y == height - 1; });
    picture("every pixel an edge", 40, [](i64 y, i64 x) { return (y + x) % 2 == 1; });
    picture("the last pixel", 3, [=](i64 y, i64 x) { return y == height - 1 && x == 2; });
  }
  one("exactly the threshold is outside", values({1, 1, 3}, {0, 1e-3, 0}), {}, copied(1), copied(3));
  one("a constant map at the threshold", constant({1, 5, 5}, 0), {}, bilinear(5, 64), bilinear(5, 64));
  one("infinite and NaN", values({1, 2, 3}, {INFINITY, NAN, -INFINITY, 1, NAN, -1}), {}, copied(2), copied(3));
  one("a threshold below all", uniform({1, 4, 4}), {}, bilinear(4, 9), bilinear(4, 9), -1);

  const auto run = [](const Shape& masks, const ops::AxisWeights& rows, const ops::AxisWeights& columns,
                      double threshold = 0.5) {
    ops::mask_runs(Tensor::zeros(masks), {}, rows, columns, threshold, 1);
  };
  const auto weights = [](const Shape& index, const Shape& weight, DType dtype = DType::kF32) {
    return ops::AxisWeights{Tensor::zeros(index, DType::kI32), Tensor::zeros(weight, dtype)};
  };
  const ops::AxisWeights good = copied(3).weights(DType::kF32, {});
  error("rank", "mask_runs: masks must be [M, h, w] with h and w above 0, got [1, 1, 3, 3]", [=] {
    run({1, 1, 3, 3}, good, good);
  });
  error("no rows", "mask_runs: masks must be [M, h, w] with h and w above 0, got [1, 0, 3]", [=] {
    run({1, 0, 3}, good, good);
  });
  error("kept", "mask_runs: kept must be u8 [1], one for each mask, got u8 [2]", [=] {
    ops::mask_runs(Tensor::zeros({1, 3, 3}), Tensor::zeros({2}, DType::kU8), good, good, 0.5, 1);
  });
  error("index", "mask_runs: columns.index is 2 at 2, the maps have 2 columns", [=] { run({1, 3, 2}, good, good); });
  error("number of weights", "mask_runs: rows.index must be i32 [out, 4] with out above 0, got i32 [3, 2]", [=] {
    run({1, 3, 3}, weights({3, 2}, {3, 2}), good);
  });
  error("no outputs", "mask_runs: columns.index must be i32 [out, 4] with out above 0, got i32 [0, 4]", [=] {
    run({1, 3, 3}, good, weights({0, 4}, {0, 4}));
  });
  error("weights", "mask_runs: rows.weight must be f32 [3, 4], got f32 [2, 4]", [=] {
    run({1, 3, 3}, weights({3, 4}, {2, 4}), good);
  });
  error("dtype of weights", "mask_runs: columns.weight must be f32 [3, 4], got f64 [3, 4]", [=] {
    run({1, 3, 3}, good, weights({3, 4}, {3, 4}, DType::kF64));
  });
  error("threshold", "mask_runs: the threshold is NaN", [=] { run({1, 3, 3}, good, good, NAN); });
  error("pixels", "mask_runs: a picture of 65536 x 65536 has 2^31 pixels or more", [=] {
    const ops::AxisWeights large = weights({1 << 16, 4}, {1 << 16, 4});
    run({1, 3, 3}, large, large);
  });
}

OP_CASES(maskness) {
  const auto one = [&](const std::string& name, const Input& masks, const Kept& kept = {}, double threshold = 0.5) {
    add({.name = fmt::format("{} threshold={}", name, threshold),
         .in = {masks},
         .run =
             [=](const Vars& v) {
               return Var(ops::maskness(v[0].value(), tensor_of(kept, v[0].value().device()), threshold));
             },
         .reference = [=](const Tensors& t) { return naive_maskness(t[0], kept, threshold); }});
  };
  one("[4, 5, 7]", uniform({4, 5, 7}, -3, 3), {1, 0, 1, 255}, 0.45);
  one("larger than a block", uniform({2, 61, 57}, -3, 3));
  one("one pixel", values({2, 1, 1}, {2, -2}));
  one("all above", constant({1, 9, 9}, 5));
  one("none above", constant({1, 9, 9}, -5));
  one("exactly the threshold is not above", values({1, 1, 2}, {0, 1}));
  one("infinite and NaN", values({1, 1, 4}, {INFINITY, NAN, -INFINITY, 1}));
  one("none kept", uniform({2, 4, 4}), {0, 0});
  one("no maps", uniform({0, 4, 4}));

  error("dtype", "maskness: masks are u8, use f32 or f64", [] {
    ops::maskness(Tensor::zeros({1, 2, 2}, DType::kU8), {}, 0.5);
  });
  error("kept", "maskness: kept must be u8 [1], one for each mask, got i64 [1]", [] {
    ops::maskness(Tensor::zeros({1, 2, 2}), Tensor::zeros({1}, DType::kI64), 0.5);
  });
}

}  // namespace tessera::test
