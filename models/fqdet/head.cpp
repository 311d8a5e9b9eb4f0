#include "models/fqdet/head.h"

#include <algorithm>

#include "autograd/arrange.h"
#include "autograd/pointwise.h"
#include "models/fqdet/boxes.h"
#include "nn/intermediates.h"
#include "nn/profile.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"

namespace tessera::fqdet {

namespace {

// x y w h as parts of the padded picture
Tensor normalised(const Tensor& boxes, ImageSize padded) {
  const Tensor pairs = centre_form(boxes).reshape({2 * boxes.dim(0), 2});  // (x, y), (w, h)
  const Tensor x = ops::mul_scalar(ops::slice(pairs, 1, 0, 1), 1 / static_cast<double>(padded.width));
  const Tensor y = ops::mul_scalar(ops::slice(pairs, 1, 1, 2), 1 / static_cast<double>(padded.height));
  return ops::concat({x, y}, 1).reshape({boxes.dim(0), 4});
}

// What is not a number has no rank. Where the host would have to wait for the logits they are not looked at: NaN is
// ranked first there, and what comes of it is found in the losses.
void check_finite(const Tensor& selection, const std::vector<std::string>& names) {
  if (selection.device() != Device{}) return;
  for (i64 b = 0; b < selection.dim(0); ++b)
    TESSERA_CHECK(
        ops::all_finite(selection.rows(b, b + 1)),
        "fqdet: what the network makes of {} is not finite: some of its weights are not, or a step before this "
        "one was too large for them",
        names.empty() ? fmt::format("picture {} of the batch", b + 1) : names[static_cast<size_t>(b)]);
}

}  // namespace

Head::Head(const Config& config, const std::vector<FeatureLevel>& levels, Random& random)
    : queries_(config.queries),
      grid_(config.anchors, levels),
      selection_(config, levels.at(0).channels, grid_.kinds(), random),
      outputs_(config, levels.at(0).channels, random) {
  for (i64 i = 0; i < config.decoder.layers; ++i)
    layers_.emplace_back(config.decoder, levels[0].channels, std::ssize(levels), random);
}

Output Head::operator()(const std::vector<Var>& maps, ImageSize padded, const std::vector<std::string>& names) {
  const nn::Running running(*this);
  const i64 B = maps.at(0).dim(0), C = maps[0].dim(3);
  Memory memory;
  std::vector<Var> rows_of_maps;
  for (const Var& map : maps) {
    memory.levels.push_back({map.dim(1), map.dim(2)});
    rows_of_maps.push_back(reshape(map, {B, map.dim(1) * map.dim(2), C}));
  }
  memory.tokens = concat(rows_of_maps, 1);  // [B, S, C]

  Output out;
  out.maps = maps;
  out.selection = cast(selection_.logits(maps), DType::kF32);        // [B, A]
  out.all_anchors = grid_(memory.levels, maps[0].value().device());  // [A, 4]
  check_finite(out.selection.value(), names);
  const i64 n = std::min(queries_, out.selection.dim(1)), N = B * n;
  out.selected = ops::top_k(out.selection.value(), n).indices;                 // [B, n]
  out.anchors = ops::gather_rows(out.all_anchors, out.selected.reshape({N}));  // [N, 4]
  const ops::AnchorRows rows = ops::anchor_rows(out.selected, memory.tokens.dim(1), grid_.kinds());
  out.picture = rows.picture;  // [N]

  Var q = reshape(selection_.queries(memory.tokens, rows), {B, n, C});
  const Var boxes(normalised(out.anchors, padded));  // [N, 4]
  memory.reference = reshape(boxes, {B, n, 1, 4});
  Var encoding = selection_.encoding(boxes);
  if (encoding) encoding = cast(reshape(encoding, {B, n, C}), q.value().dtype());
  nn::keep("queries.0", q);
  if (encoding) nn::keep("encoding", encoding);
  for (size_t i = 0; i < layers_.size(); ++i) {
    q = layers_[i](q, encoding, memory);  // [B, n, C]
    nn::keep(fmt::format("queries.{}", i + 1), q);
  }
  out.queries = reshape(q, {N, C});

  const auto [class_logits, deltas, box_scores] = outputs_(out.queries);
  out.class_logits = cast(class_logits, DType::kF32);  // [N, K + 1]
  out.deltas = cast(deltas, DType::kF32);              // [N, 4]
  if (box_scores) out.box_scores = cast(box_scores, DType::kF32);
  return out;
}

void Head::visit(nn::Visitor& v) {
  v.child("group_init_sel", selection_);
  for (size_t i = 0; i < layers_.size(); ++i) v.child(fmt::format("dec_layers.{}", i), layers_[i]);
  v.child("heads", outputs_);
}

}  // namespace tessera::fqdet
