// box_iou, generalized_box_iou, paired_box_iou, the generalised and the extended loss, nms and batched_nms.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/boxes.h"
#include "ops/boxes.h"
#include "tests/ops/naive.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// Boxes of 1/8 pixel on a field of `span` pixels, sides up to `size`: exact in f32.
Input boxes(i64 count, i64 span, i64 size) {
  return {[=](Random& random) {
    Tensor t = Tensor::empty({count, 4}, DType::kF64);
    const auto eighths = [&](i64 up_to) { return std::floor(random.uniform() * static_cast<double>(8 * up_to)) / 8; };
    for (i64 i = 0; i < count; ++i) {
      double* box = t.data<double>() + 4 * i;
      box[0] = eighths(span), box[1] = eighths(span);
      box[2] = box[0] + 0.125 + eighths(size), box[3] = box[1] + 0.125 + eighths(size);
    }
    return t;
  }};
}

struct Overlap {
  double inside, both, around;
};

Overlap overlap(const Tensor& a, i64 i, const Tensor& b, i64 j) {
  const auto area = [](const Tensor& t, i64 k) { return (at(t, k, 2) - at(t, k, 0)) * (at(t, k, 3) - at(t, k, 1)); };
  const double w = std::min(at(a, i, 2), at(b, j, 2)) - std::max(at(a, i, 0), at(b, j, 0));
  const double h = std::min(at(a, i, 3), at(b, j, 3)) - std::max(at(a, i, 1), at(b, j, 1));
  const double inside = std::max(w, 0.0) * std::max(h, 0.0);
  const double wide = std::max(at(a, i, 2), at(b, j, 2)) - std::min(at(a, i, 0), at(b, j, 0));
  const double high = std::max(at(a, i, 3), at(b, j, 3)) - std::min(at(a, i, 1), at(b, j, 1));
  return {inside, area(a, i) + area(b, j) - inside, wide * high};
}

Tensor naive_pairs(const Tensor& a, const Tensor& b, bool generalised) {
  Tensor y = Tensor::empty({a.dim(0), b.dim(0)}, DType::kF64);
  for (i64 i = 0; i < a.dim(0); ++i)
    for (i64 j = 0; j < b.dim(0); ++j) {
      const Overlap o = overlap(a, i, b, j);
      at(y, i, j) = o.inside / o.both - (generalised ? (o.around - o.both) / o.around : 0);
    }
  return y;
}

double naive_generalised(const Tensor& a, const Tensor& b, i64 i) {
  const double eps = 1e-7;
  const Overlap o = overlap(a, i, b, i);
  return 1 - o.inside / (o.both + eps) + (o.around - o.both) / (o.around + eps);
}

double naive_extended(const Tensor& a, const Tensor& b, i64 i) {
  const auto area = [&](const Tensor& t) { return (at(t, i, 2) - at(t, i, 0)) * (at(t, i, 3) - at(t, i, 1)); };
  double outer[2], inner[2], far[2], low[2], high[2];  // x, y
  for (int k : {0, 1}) {
    outer[k] = std::min(at(a, i, k), at(b, i, k)), inner[k] = std::max(at(a, i, k), at(b, i, k));
    far[k] = std::min(at(a, i, k + 2), at(b, i, k + 2));
    low[k] = std::min(inner[k], far[k]), high[k] = std::max(inner[k], far[k]);
  }
  const auto product = [&](double x, double y) { return (x - outer[0]) * (y - outer[1]); };
  const double inside =
      product(far[0], far[1]) + product(low[0], low[1]) - product(inner[0], high[1]) - product(high[0], inner[1]);
  const double e = 1 - inside / (area(a) + area(b) - inside + 1e-6);
  return e < 0.1 ? e * e / 0.2 : e - 0.05;
}

Tensor naive_loss(const Tensor& a, const Tensor& b, Reduction reduction, bool extended) {
  Tensor y = Tensor::empty({a.dim(0)}, DType::kF64);
  double sum = 0;
  for (i64 i = 0; i < a.dim(0); ++i) sum += at(y, i) = (extended ? naive_extended : naive_generalised)(a, b, i);
  if (reduction == Reduction::kNone) return y;
  return Tensor::full(
      {}, reduction == Reduction::kMean ? sum / std::max<double>(static_cast<double>(a.dim(0)), 1) : sum, DType::kF64);
}

// By score, one after the other.
Tensor naive_nms(const Tensor& b, const Tensor& scores, const Tensor& labels, double threshold) {
  const i64 N = b.dim(0);
  std::vector<i64> order(static_cast<size_t>(N)), keep;
  std::iota(order.begin(), order.end(), i64{0});
  std::stable_sort(order.begin(), order.end(), [&](i64 i, i64 j) {
    const double si = at(scores, i), sj = at(scores, j);
    return (std::isnan(si) && !std::isnan(sj)) || si > sj;
  });
  for (const i64 i : order) {
    const bool gone = std::any_of(keep.begin(), keep.end(), [&](i64 k) {
      if (labels.defined() && labels.data<i64>()[k] != labels.data<i64>()[i]) return false;
      const Overlap o = overlap(b, k, b, i);
      return o.inside / o.both > threshold;
    });
    if (!gone) keep.push_back(i);
  }
  return Tensor::from(keep, {static_cast<i64>(keep.size())});
}

}  // namespace

OP_CASES(boxes) {
  for (const bool generalised : {false, true}) {
    const auto run = generalised ? ops::generalized_box_iou : ops::box_iou;
    const char* op = generalised ? "generalized_box_iou" : "box_iou";
    const auto pairs = [&](const std::string& name, const Input& a, const Input& b) {
      add({.op = op,
           .name = name,
           .in = {a, b},
           .run = [=](const Vars& v) { return Var(run(v[0].value(), v[1].value())); },
           .reference = [=](const Tensors& t) { return naive_pairs(t[0], t[1], generalised); }});
    };
    pairs("[7, 4] x [5, 4]", boxes(7, 20, 30), boxes(5, 20, 30));
    pairs("[33, 4] x [129, 4]", boxes(33, 40, 30), boxes(129, 40, 30));
    pairs("[1, 4] x [1, 4]", boxes(1, 4, 30), boxes(1, 4, 30));
    pairs("none x 3", boxes(0, 4, 30), boxes(3, 4, 30));
    pairs("3 x none", boxes(3, 4, 30), boxes(0, 4, 30));
    pairs("far apart", values({1, 4}, {0, 0, 1, 1}), values({2, 4}, {5, 5, 6, 6, 1, 0, 2, 1}));
    pairs("no area against an area", values({3, 4}, {1, 1, 1, 3, 5, 5, 5, 5, 2, 2, 0, 0}),
          values({1, 4}, {0, 0, 4, 4}));
    pairs("no area against itself is NaN", values({1, 4}, {1, 1, 1, 1}), values({1, 4}, {1, 1, 1, 1}));
    pairs("NaN", values({2, 4}, {NAN, 0, 1, 1, 0, 0, 1, 1}), values({2, 4}, {0, 0, 2, 2, 0, 0, 2, NAN}));
    error(op, "[N, 5]", fmt::format("{}: a must be [N, 4], got [2, 5]", op), [=] {
      run(Tensor::zeros({2, 5}), Tensor::zeros({2, 4}));
    });
    error(op, "dtypes", fmt::format("{}: a is f32, b is f64", op), [=] {
      run(Tensor::zeros({2, 4}), Tensor::zeros({2, 4}, DType::kF64));
    });
    error(op, "integers", fmt::format("{}: a has dtype i64, use f32 or f64", op), [=] {
      run(Tensor::zeros({2, 4}, DType::kI64), Tensor::zeros({2, 4}, DType::kI64));
    });
  }

  const auto paired = [&](const std::string& name, const Input& a, const Input& b) {
    add({.op = "paired_box_iou",
         .name = name,
         .in = {a, b},
         .run = [](const Vars& v) { return Var(ops::paired_box_iou(v[0].value(), v[1].value())); },
         .reference =
             [](const Tensors& t) {
               Tensor y = Tensor::empty({t[0].dim(0)}, DType::kF64);
               for (i64 i = 0; i < y.numel(); ++i) {
                 const Overlap o = overlap(t[0], i, t[1], i);
                 at(y, i) = o.inside / o.both;
               }
               return y;
             }});
  };
  paired("40 boxes", boxes(40, 20, 20), boxes(40, 20, 20));
  paired("no area, NaN", values({2, 4}, {1, 1, 1, 1, NAN, 2, 2, 4}), values({2, 4}, {1, 1, 1, 1, 0, 0, 4, 4}));
  paired("none", boxes(0, 4, 4), boxes(0, 4, 4));
  error("paired_box_iou", "another number of boxes",
        "paired_box_iou: a [2, 4] and b [3, 4] must have the same number of boxes", [] {
          ops::paired_box_iou(Tensor::zeros({2, 4}), Tensor::zeros({3, 4}));
        });

  for (const bool extended : {false, true}) {
    const std::string op = extended ? "extended_box_iou_loss" : "generalized_box_iou_loss";
    const auto of = [=](const Var& a, const Tensor& b, Reduction reduction) {
      return extended ? extended_box_iou_loss(a, b, reduction) : generalized_box_iou_loss(a, b, reduction);
    };
    for (const Reduction reduction : {Reduction::kNone, Reduction::kSum, Reduction::kMean}) {
      const auto loss = [&](const std::string& name, const Input& a, const Input& b, bool grad = true) {
        add({.op = op,
             .name = fmt::format("{} reduction {}", name, static_cast<int>(reduction)),
             .in = {a, b},
             .run = [=](const Vars& v) { return of(v[0], v[1].value(), reduction); },
             .reference = [=](const Tensors& t) { return naive_loss(t[0], t[1], reduction, extended); },
             .grad = grad ? std::vector<int>{0} : std::vector<int>{},
             .reduction = 40});
      };
      loss("near each other", boxes(40, 10, 20), values({40, 4}, [] {
             std::vector<double> v;  // sixteenths: no edge of a coincides with one of b, where the loss has a kink
             for (int i = 0; i < 40; ++i)
               for (const double x : {3.0 + i % 5, 2.0 + i % 7, 12.0 + i % 6, 11.0 + i % 3}) v.push_back(x + 0.0625);
             return v;
           }()));
      loss("nearly equal", values({2, 4}, {1, 2, 9, 8, 3, 4, 13, 14}),
           values({2, 4}, {1.25, 2.125, 9.125, 7.875, 2.75, 4.125, 13.25, 14.125}));
      loss("far apart", values({1, 4}, {0, 0, 2, 1}), values({1, 4}, {5, 7, 6, 9}));
      loss("apart along one axis", values({2, 4}, {0, 0, 2, 5, 1, 1, 4, 2}), values({2, 4}, {5, 1, 6, 3, 0, 9, 5, 12}));
      loss("no area", values({2, 4}, {1, 1, 1, 1, 2, 2, 2, 4}), values({2, 4}, {1, 1, 1, 1, 0, 0, 4, 4}), false);
      loss("NaN", values({2, 4}, {NAN, 1, 1, 1, 2, 2, 3, 4}), values({2, 4}, {1, 1, 1, 1, 0, 0, 4, 4}), false);
      loss("none", boxes(0, 4, 4), boxes(0, 4, 4));
    }
    error(op, "another number of boxes", op + ": a [2, 4] and b [3, 4] must have the same number of boxes", [=] {
      of(Var(Tensor::zeros({2, 4})), Tensor::zeros({3, 4}), Reduction::kSum);
    });
  }

  const auto suppress = [&](const std::string& name, const Input& b, const Input& scores, const Input& labels,
                            double threshold) {
    add({.op = labels.make ? "batched_nms" : "nms",
         .name = fmt::format("{} threshold {}", name, threshold),
         .in = {b, scores, labels},
         .run =
             [=](const Vars& v) {
               const Tensor &boxes = v[0].value(), &s = v[1].value();
               return Var(v[2] ? ops::batched_nms(boxes, s, v[2].value(), threshold) : ops::nms(boxes, s, threshold));
             },
         .reference = [=](const Tensors& t) { return naive_nms(t[0], t[1], t[2], threshold); }});
  };
  for (const double threshold : {0.0, 0.3, 0.5, 0.7, 1.0, -0.5, 1.5}) {
    suppress("70 boxes", boxes(70, 20, 30), spread({70}), absent(), threshold);
    suppress("300 boxes", boxes(300, 100, 30), spread({300}), absent(), threshold);
    suppress("300 boxes of 5 classes", boxes(300, 40, 30), spread({300}), integers({300}, -2, 2), threshold);
  }
  for (const bool classes : {false, true}) {
    const auto labels = [&](const std::vector<i64>& v) {
      return classes ? indices({static_cast<i64>(v.size())}, v) : absent();
    };
    suppress("equal scores: the first stays", values({4, 4}, {0, 0, 4, 4, 0, 0, 4, 4, 0, 0, 4, 4, 9, 9, 12, 12}),
             constant({4}, 0.5), labels({7, 7, 7, 7}), 0.5);
    suppress("an iou equal to the threshold stays", values({2, 4}, {0, 0, 4, 2, 0, 0, 2, 2}), values({2}, {1, 2}),
             labels({0, 0}), 0.5);
    suppress("no boxes", boxes(0, 4, 4), constant({0}, 0), labels({}), 0.5);
    suppress("one box", boxes(1, 4, 4), constant({1}, 0), labels({3}), 0.5);
    suppress("no area", values({4, 4}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 4, 4, 3, 3, 1, 1}), values({4}, {4, 3, 2, 1}),
             labels({0, 0, 0, 0}), 0.5);
    suppress("a box with NaN suppresses none and stays",
             values({4, 4}, {0, 0, NAN, 4, 0, 0, 4, 4, 0, NAN, 4, 4, 0, 0, 4, 4}), values({4}, {4, 3, 2, 1}),
             labels({0, 0, 0, 0}), 0.5);
    suppress("a NaN score comes first", values({3, 4}, {0, 0, 4, 4, 0, 0, 4, 4, 5, 5, 6, 6}),
             values({3}, {1, NAN, INFINITY}), labels({0, 0, 0}), 0.5);
  }
  error("nms", "scores of another length", "nms: scores must be [3] in f32", [] {
    ops::nms(Tensor::zeros({3, 4}), Tensor::zeros({2}), 0.5);
  });
  error("nms", "boxes [N, 5]", "nms: boxes must be [N, 4], got [3, 5]", [] {
    ops::nms(Tensor::zeros({3, 5}), Tensor::zeros({3}), 0.5);
  });
  error("nms", "NaN as threshold", "nms: the threshold is NaN", [] {
    ops::nms(Tensor::zeros({3, 4}), Tensor::zeros({3}), NAN);
  });
  error("batched_nms", "labels in f32", "batched_nms: labels must be i64 [N]", [] {
    ops::batched_nms(Tensor::zeros({3, 4}), Tensor::zeros({3}), Tensor::zeros({3}), 0.5);
  });
  bench({.op = "nms",
         .name = "5000 boxes",
         .in = {boxes(5000, 1000, 100), uniform({5000})},
         .run = [](const Vars& v) { return Var(ops::nms(v[0].value(), v[1].value(), 0.5)); },
         .bytes = 5000.0 * 5 * 4});
}

}  // namespace tessera::test
