// Inference of FASSST's golden file, and the parts of the network that it has alone.
#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "models/fassst/boxes.h"
#include "models/fassst/inference.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/pointwise.h"
#include "tests/goldens/fassst_golden.h"
#include "tests/goldens/fill.h"

namespace tessera::goldens {

using namespace fassst;

namespace {

constexpr double kProbability = 2e-3;

}  // namespace

void FassstGolden::check_inference() {
  const NoGrad no_grad;
  const Var images = this->images();
  const auto net = network(config_);
  net->eval();
  Fassst::Maps maps;
  {
    nn::Intermediates seen;
    maps = net->forward(images);
    compare_map("eval.e", seen.at("c5"));
  }
  compare("eval.raw", maps.raw.value());
  check_detections(maps.raw.value());
  check_masks(*net, maps);

  Config other = config_;
  other.backbone.same_padding = true;
  const auto same = network(other);
  same->eval();
  {
    nn::Intermediates seen;
    same->forward(images);
    compare_map("eval.same.e", seen.at("c5"));
  }
  other = config_;
  other.mask.fusion = false;
  const auto unfused = network(other);
  unfused->eval();
  compare("eval.no_rff", unfused->masks(unfused->forward(images), regions_).value());
}

// Of every cell.
void FassstGolden::check_detections(const Tensor& raw) {
  const i64 B = raw.dim(0), n = raw.dim(1) * raw.dim(2);
  const Predictions all = find_predictions(raw, config_.attention, {.score_threshold = 0});
  Tensor boxes = Tensor::zeros({B, n, 4}), scores = Tensor::zeros({B, n}), classes = Tensor::zeros({B, n}, DType::kI64);
  for (size_t p = 0; p < all.cell.size(); ++p) {
    const i64 at = all.picture[p] * n + all.cell[p];
    std::copy_n(all.boxes.data<float>() + 4 * p, 4, boxes.data<float>() + 4 * at);
    scores.data<float>()[at] = all.scores[p];
    classes.data<i64>()[at] = all.classes[p];
  }
  compare("eval.boxes", boxes);
  compare("eval.score", scores);
  compare_ids("eval.class", classes);
}

void FassstGolden::check_masks(Fassst& net, const Fassst::Maps& maps) {
  const Predictions found =
      find_predictions(maps.raw.value(), config_.attention, {.score_threshold = real("threshold")});
  std::vector<i64> order(found.cell.size());  // by cell
  for (size_t p = 0; p < order.size(); ++p) order[p] = static_cast<i64>(p);
  std::ranges::sort(order, {}, [&](i64 p) {
    return std::pair{found.picture[static_cast<size_t>(p)], found.cell[static_cast<size_t>(p)]};
  });
  std::vector<i64> picture, kept;
  for (const i64 p : order) {
    picture.push_back(found.picture[static_cast<size_t>(p)]);
    kept.push_back(picture.back());
    kept.push_back(found.cell[static_cast<size_t>(p)]);
  }
  compare_ids("eval.kept", Tensor::from(kept, {std::ssize(order), 2}));
  const Tensor boxes = ops::gather_rows(found.boxes, Tensor::from(order));
  const ImageSize input{number("size"), number("size")};
  const Tensor in = regions(Tensor::from(picture), boxes, input).to(device());
  const Tensor probabilities = ops::sigmoid(net.masks(maps, in).value());
  compare("eval.mask_prob", probabilities, kProbability);

  const std::vector<i64> original = numbers("original"), resized = numbers("resized");
  const ImageSize size{original[0], original[1]};
  const std::vector<Rle> masks =
      picture_masks(probabilities, to_original(boxes, input, {resized[0], resized[1]}, size), size);
  const Tensor &bits = stored("eval.masks"), &areas = stored("eval.mask_area");
  const std::span<const i64> uncertain = stored("eval.mask_uncertain").span<i64>();
  bool masks_right = true, areas_right = true;
  for (size_t k = 0; k < masks.size(); ++k) {
    const Tensor mask = decode_rle(masks[k]);
    const i64 pixels = mask.numel(), bytes = bits.dim(1);
    i64 wrong = 0;
    for (i64 p = 0; p < pixels; ++p) {
      const int want = bits.data<u8>()[static_cast<i64>(k) * bytes + p / 8] >> (7 - p % 8) & 1;
      wrong += mask.data<u8>()[p] != want;
    }
    masks_right = masks_right && wrong <= uncertain[k];
    areas_right = areas_right && std::abs(rle_area(masks[k]) - areas.span<i64>()[k]) <= uncertain[k];
  }
  report("eval.masks", masks_right, "more pixels differ than lie near 1/2");
  report("eval.mask_area", areas_right, "more pixels differ than lie near 1/2");
}

void FassstGolden::check_assignment() {
  const i64 g = number("assign.grid"), n = g * g;
  const Tensor& stored_boxes = stored("assign.boxes");
  Assignment all;
  for (i64 k = 0; k < stored_boxes.dim(0); ++k)
    std::copy_n(stored_boxes.data<float>() + 4 * k, 4, all.boxes.emplace_back().data());
  const std::span<const i64> areas = stored("assign.areas").span<i64>();
  const std::vector<i64> cell = assign_cells({all.boxes, {areas.begin(), areas.end()}}, {g, g}, {g * 64, g * 64});
  compare_ids("assign.cell", Tensor::from(cell));
  std::vector<i64> step;
  for (size_t k = 0; k < cell.size(); ++k) {
    const auto place = [&](int edge) {
      return static_cast<i64>((all.boxes[k][edge] + all.boxes[k][edge + 2]) / 2 * static_cast<float>(g));
    };
    step.push_back(cell[k] == kNoCell ? 0 : cell[k] == place(0) * g + place(1) ? 2 : 3);
    all.picture.push_back(0);
    all.classes.push_back(0);
    if (cell[k] == kNoCell) continue;
    all.cell.push_back(cell[k]);
    all.object.push_back(static_cast<i64>(k));
  }
  compare_ids("assign.step", Tensor::from(step));
  compare_ids("assign.roi_object", Tensor::from(all.object));

  Config config;
  config.attention.grid = {g, g};
  const CellTargets targets = cell_targets(all, 1, config, device());
  const Tensor decoded = stored("assign.decoded").to(device());  // [n, 4]
  const Tensor counted = counted_cells(decoded, targets);
  compare_flags("assign.ignored", ops::sub(Tensor::full({n}, 1, DType::kF32, device()), counted));

  const i64 N = all.positives();
  std::vector<i64> every(static_cast<size_t>(N));
  for (i64 k = 0; k < N; ++k) every[static_cast<size_t>(k)] = k;
  const RegionTargets regions{.positive = Tensor::from(every).to(device()),
                              .object = {},
                              .picture = {},
                              .boxes = targets.boxes,
                              .shift = Tensor::zeros({N, 4}, DType::kF32, device())};
  const Tensor predicted = ops::gather_rows(decoded, targets.cell);
  const Tensor chosen = training_boxes(regions, predicted).to_host(), mine = predicted.to_host();
  Tensor is_predicted = Tensor::zeros({N});
  for (i64 k = 0; k < N; ++k)
    is_predicted.data<float>()[k] =
        std::equal(mine.data<float>() + 4 * k, mine.data<float>() + 4 * k + 4, chosen.data<float>() + 4 * k);
  compare_flags("assign.roi_predicted", is_predicted);
}

void FassstGolden::check_attention(const std::string& name, ImageSize grid) {
  const std::string prefix = text("prefix_inputs") + name + ".";
  AttentionConfig config;
  config.widths = {16, 16, 24, 24, 32, 24, 16, 16};
  Random random(0);
  InstanceAttention attention(config, {64, {1, 1, 1, 2, 1, 1}, {4, 6}, grid}, 2, random);
  generate(
      attention, [](const std::string& part) { return "iam." + part; }, prefix);
  const Var e(nn::to_ours(fill(prefix + "e", {2, 64, 8, 12}), nn::Layout::kConvOIHW).to(device()), true);
  const Var raw = attention(e);
  compare(name + ".raw", raw.value());
  compare(name + ".boxes", decode(raw, BoxForm::kCentre).value().reshape({2, grid.height, grid.width, 4}));
  sum(raw * Var(fill(prefix + "dy", raw.shape()).to(device()))).backward();
  compare_map_gradient(name + ".grad.e", e);
  for (const nn::StateEntry& entry : nn::state(attention)) {
    if (entry.name != "7.conv.weight") continue;
    compare_gradient(name + ".grad.iam.7.conv.weight", *entry.parameter, entry.layout);
    const std::vector<i64> kernel = numbers(name + ".kernel");
    report(name + ".kernel", entry.tensor.dim(1) == kernel[0] && entry.tensor.dim(2) == kernel[1]);
  }
}

}  // namespace tessera::goldens
