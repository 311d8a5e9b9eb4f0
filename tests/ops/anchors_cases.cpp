#include <vector>

#include "ops/anchors.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

References naive_rows(const Tensor& anchors, i64 cells, i64 kinds) {
  std::vector<i64> picture, cell, kind, slot;
  for (i64 b = 0; b < anchors.dim(0); ++b)
    for (i64 j = 0; j < anchors.dim(1); ++j) {
      const i64 a = anchors.data<i64>()[picture.size()];
      slot.push_back(a % kinds * anchors.numel() + static_cast<i64>(picture.size()));
      picture.push_back(b);
      cell.push_back(b * cells + a / kinds);
      kind.push_back(a % kinds);
    }
  return {Tensor::from(picture), Tensor::from(cell), Tensor::from(kind), Tensor::from(slot)};
}

// Every chosen anchor looks for itself.
References naive_match(const Tensor& ranked, const Tensor& pictures, const Tensor& chosen) {
  const i64 T = ranked.dim(0), R = ranked.dim(1);
  std::vector<i64> owner, rows, objects;
  for (i64 q = 0; q < chosen.numel(); ++q) {
    i64 found = T, best = R;
    for (i64 t = 0; t < T; ++t)
      for (i64 r = 0; r < R; ++r)
        if (pictures.data<i64>()[t] == q / chosen.dim(1) && ranked.data<i64>()[t * R + r] == chosen.data<i64>()[q] &&
            r < best)
          found = t, best = r;
    owner.push_back(found);
    if (found < T) rows.push_back(q), objects.push_back(found);
  }
  return {Tensor::from(owner), Tensor::from(rows), Tensor::from(objects)};
}

Input ids(const std::vector<std::vector<i64>>& rows) {
  std::vector<i64> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return indices({static_cast<i64>(rows.size()), static_cast<i64>(rows[0].size())}, all);
}

// In each of `rows` rows `count` different numbers below `below`.
Input different(i64 rows, i64 count, i64 below) {
  return {[=](Random& random) {
    Tensor t = Tensor::empty({rows, count}, DType::kI64);
    for (i64 r = 0; r < rows; ++r) {
      std::vector<i64> left(static_cast<size_t>(below));
      for (i64 i = 0; i < below; ++i) left[static_cast<size_t>(i)] = i;
      for (i64 i = 0; i < count; ++i) {
        const auto at = left.begin() + random.integer(0, static_cast<i64>(left.size()) - 1);
        t.data<i64>()[r * count + i] = *at;
        left.erase(at);
      }
    }
    return t;
  }};
}

}  // namespace

OP_CASES(anchors) {
  for (const auto& [B, n, cells, kinds] :
       {std::array<i64, 4>{2, 7, 5, 3}, {1, 1, 1, 1}, {3, 300, 1000, 9}, {2, 0, 4, 9}})
    add({.op = "anchor_rows",
         .name = fmt::format("{} of {} x {} in {} pictures", n, cells, kinds, B),
         .in = {integers({B, n}, 0, cells * kinds - 1)},
         .run =
             [cells, kinds](const Vars& v) {
               const auto [picture, cell, kind, slot] = ops::anchor_rows(v[0].value(), cells, kinds);
               return Outputs{Var(picture), Var(cell), Var(kind), Var(slot)};
             },
         .reference = [cells, kinds](const Tensors& t) { return naive_rows(t[0], cells, kinds); }});
  error("anchor_rows", "an anchor that is not there", "anchor_rows: there is no anchor 12, but 12 of 3 kinds", [] {
    ops::anchor_rows(Tensor::full({1, 1}, 12, DType::kI64), 4, 3);
  });
  error("anchor_rows", "no list per picture", "anchor_rows: anchors must be i64 of rank 2, got i64 [4]",
        [] { ops::anchor_rows(Tensor::zeros({4}, DType::kI64), 4, 3); });

  const auto match = [&](const std::string& name, const Input& ranked, const Input& pictures, const Input& chosen) {
    add({.op = "match_anchors",
         .name = name,
         .in = {ranked, pictures, chosen},
         .run =
             [](const Vars& v) {
               const auto [owner, rows, object] = ops::match_anchors(v[0].value(), v[1].value(), v[2].value());
               return Outputs{Var(owner), Var(rows), Var(object)};
             },
         .reference = [](const Tensors& t) { return naive_match(t[0], t[1], t[2]); }});
  };
  match("the lowest rank has it", ids({{4, 7, 1}, {7, 4, 2}}), indices({2}, {0, 0}), ids({{1, 7, 4, 9}}));
  match("of equal ranks the first object has it", ids({{5, 3}, {5, 2}, {5, 1}}), indices({3}, {0, 0, 0}),
        ids({{1, 2, 5}}));
  match("the same anchor in two pictures", ids({{5, 3}, {5, 2}}), indices({2}, {1, 0}), ids({{5, 2}, {3, 5}}));
  match("none is wanted", ids({{8, 9}}), indices({1}, {0}), ids({{1, 2}, {8, 9}}));
  match("no objects", indices({0, 15}, {}), indices({0}, {}), ids({{1, 2}, {8, 9}}));
  match("nothing chosen", ids({{8, 9}}), indices({1}, {0}), indices({2, 0}, {}));
  match("60 objects, 300 of 500 anchors in 2 pictures", different(60, 15, 500), integers({60}, 0, 1),
        different(2, 300, 500));
  error("match_anchors", "a picture that is not there", "match_anchors: object 0 is in picture 2, there are 1", [] {
    ops::match_anchors(Tensor::zeros({1, 1}, DType::kI64), Tensor::full({1}, 2, DType::kI64),
                       Tensor::zeros({1, 1}, DType::kI64));
  });
  error("match_anchors", "pictures of other objects", "match_anchors: 1 objects have anchors, 2 a picture", [] {
    ops::match_anchors(Tensor::zeros({1, 1}, DType::kI64), Tensor::zeros({2}, DType::kI64),
                       Tensor::zeros({1, 1}, DType::kI64));
  });
}

}  // namespace tessera::test
