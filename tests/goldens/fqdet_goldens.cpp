// The golden results of FQDet: anchors, matching, suppression, and the head in both forms on given maps, with losses,
// gradients and detections; of the release form also the box-score head and pairs of boxes of the extended IoU loss.
#include <algorithm>
#include <set>

#include "autograd/arrange.h"
#include "autograd/boxes.h"
#include "autograd/pointwise.h"
#include "models/fqdet/boxes.h"
#include "models/fqdet/criterion.h"
#include "models/fqdet/inference.h"
#include "nn/intermediates.h"
#include "ops/arrange.h"
#include "ops/boxes.h"
#include "tests/goldens/module_golden.h"

namespace tessera::goldens {

using namespace fqdet;

namespace {

class FqdetGolden : protected ModuleGolden {
 public:
  using ModuleGolden::ModuleGolden;

 protected:
  // Strides 2^first, 2^(first + 1), ...
  static std::vector<FeatureLevel> levels_from(i64 first, i64 count, i64 channels) {
    std::vector<FeatureLevel> levels;
    for (i64 k = first; k < first + count; ++k) levels.push_back({channels, i64{1} << k});
    return levels;
  }

  // The grid of the level sizes in the metadata.
  Tensor anchors_of_shapes(i64 first) {
    const std::vector<i64> flat = numbers("shapes");
    std::vector<ops::LevelSize> sizes;
    for (size_t i = 0; i + 1 < flat.size(); i += 2) sizes.push_back({flat[i], flat[i + 1]});
    AnchorGrid grid({}, levels_from(first, std::ssize(sizes), 1));
    return grid(sizes, device());
  }

  // The stored objects as a batch of `pictures`; labels are 0 where none are stored.
  GroundTruth truth(i64 pictures, i64 num_classes) {
    const Tensor &boxes = stored("targets.boxes"), &image = stored("targets.image");
    const i64 T = boxes.dim(0);
    const Tensor labels = stores("targets.labels") ? stored("targets.labels") : Tensor::zeros({T}, DType::kI64);
    Batch batch;
    for (i64 b = 0; b < pictures; ++b) {
      const auto first = std::ranges::lower_bound(image.span<i64>(), b) - image.span<i64>().begin();
      const auto last = std::ranges::upper_bound(image.span<i64>(), b) - image.span<i64>().begin();
      Sample& sample = batch.samples.emplace_back();
      sample.targets = {{}, labels.rows(first, last), boxes.rows(first, last), std::vector<i64>(last - first)};
    }
    return ground_truth_of(batch, num_classes, device());
  }

  // top15, stage1.positive and the matched pairs. Returns what the losses take.
  struct Matching {
    Tensor selection;
    QueryMatches queries;
  };
  Matching match(const Tensor& anchors, const GroundTruth& truth, const Tensor& selected) {
    const MatchingConfig config;
    const Tensor ranked = ranked_anchors(anchors, truth.boxes, config.query_ranks);
    Matching result{selection_targets(ranked, truth, selected.dim(0), anchors.dim(0), config.selection_ranks),
                    match_queries(ranked, truth, config.query_ranks, selected)};
    check_ranks(ranked.to_host(), config.selection_ranks);
    const Tensor targets = result.selection.to_host();
    std::vector<i64> positive;
    for (i64 i = 0; i < targets.numel(); ++i)
      if (targets.data<float>()[i] != 0) positive.insert(positive.end(), {i / targets.dim(1), i % targets.dim(1)});
    compare_ids("stage1.positive", Tensor::from(positive, {static_cast<i64>(positive.size()) / 2, 2}));
    compare_ids("matched_qry", result.queries.matches.query);
    compare_ids("matched_tgt", result.queries.matches.object);
    return result;
  }

 private:
  // The best `first` and all 15 anchors of each object. In between, IoUs that are equal but for rounding may change
  // places: no result depends on that.
  void check_ranks(const Tensor& ranked, i64 first) {
    const Tensor& want = stored("top15");  // [15, T]
    bool right = ranked.dim(0) == want.dim(1) && ranked.dim(1) == want.dim(0);
    for (i64 t = 0; right && t < ranked.dim(0); ++t)
      for (const i64 count : {first, ranked.dim(1)}) {
        std::set<i64> ours, theirs;
        for (i64 r = 0; r < count; ++r) {
          ours.insert(ranked.data<i64>()[t * ranked.dim(1) + r]);
          theirs.insert(want.data<i64>()[r * want.dim(1) + t]);
        }
        right = right && ours == theirs;
      }
    report("top15", right, "the best anchors of an object are others");
  }
};

class AnchorsGolden : FqdetGolden {
 public:
  using FqdetGolden::FqdetGolden;

  int run() {
    const Tensor anchors = anchors_of_shapes(number("first_level"));
    compare("anchors", centre_form(anchors));
    compare("iou", ops::box_iou(anchors, stored("targets").to(device())));
    return finish();
  }
};

class MatchingGolden : FqdetGolden {
 public:
  using FqdetGolden::FqdetGolden;

  int run() {
    const Tensor selected = stored("selected").to(device());
    match(anchors_of_shapes(2), truth(selected.dim(0), 1), selected);
    return finish();
  }
};

class NmsGolden : FqdetGolden {
 public:
  using FqdetGolden::FqdetGolden;

  int run() {
    const auto on_device = [&](const char* key) { return stored(key).to(device()); };
    compare_ids("keep", ops::batched_nms(on_device("boxes"), on_device("scores"), on_device("labels"), real("thr")));
    return finish();
  }
};

class HeadGolden : FqdetGolden {
 public:
  using FqdetGolden::FqdetGolden;

  int run() {
    const Config config = read_config();
    const i64 B = stored("sel_ids").dim(0), C = number("channels"), n = config.queries;
    Random random(0);
    Head head(config, levels_from(2, number("levels"), C), random);
    generate(head);
    const ImageSize padded{number("height"), number("width")};
    std::vector<Var> maps;
    for (i64 i = 0; i < number("levels"); ++i) {
      const i64 stride = i64{4} << i;
      const auto cells = [&](i64 side) { return (side + stride - 1) / stride; };
      maps.push_back(map(fmt::format("maps.{}", i), {B, C, cells(padded.height), cells(padded.width)}));
    }

    nn::Intermediates seen;
    const Output output = head(maps, padded);
    const auto per_picture = [&](const Tensor& x) { return x.reshape({B, n, x.dim(1)}); };
    compare("sel_logits", output.selection.value());
    compare_ids("sel_ids", output.selected);
    for (i64 i = 0; i <= config.decoder.layers; ++i)
      compare(fmt::format("queries{}", i), seen.at(fmt::format("queries.{}", i)));
    if (config.form == Form::kPaper) compare("enc", seen.at("encoding"));
    compare("prior", per_picture(centre_form(output.anchors)));
    compare("cls", per_picture(output.class_logits.value()));
    compare("delta", per_picture(output.deltas.value()));
    const Tensor boxes = decode(output.deltas, output.anchors).value();
    compare("boxes", per_picture(centre_form(boxes)));

    const GroundTruth objects = truth(B, config.num_classes);
    const auto [selection, queries] = match(output.all_anchors, objects, output.selected);
    const std::vector<LossTerm> terms = loss_terms(output, selection, objects, queries, config);
    (terms[0].value + terms[1].value + terms[2].value).backward();
    std::vector<Tensor> losses;
    for (const LossTerm& term : terms) losses.push_back(term.value.value().reshape({1}));
    compare("losses", ops::concat(losses, 0));
    for (size_t i = 0; i < maps.size(); ++i) compare_map_gradient(fmt::format("grad.maps.{}", i), maps[i]);
    compare_gradients(head);
    detections("det.", output, config);
    if (stores("score.raw")) box_scores(output, objects, queries.matches, config);
    if (stores("eiou.loss")) extended_iou();
    return finish();
  }

 private:
  Config read_config() const {
    Config config;
    config.num_classes = number("labels") - 1;
    config.queries = number("selections");
    config.decoder = {.layers = number("layers"), .heads = number("heads"), .hidden = number("ffn")};
    config.inference = {number("candidates"), number("max_dets"), real("nms")};
    if (number("version") == 1) return config;
    config.form = Form::kRelease;
    config.loss = {.class_weight = 0.5, .box_weight = 1.85};
    return config;
  }

  void detections(const std::string& before, const Output& output, const Config& config) {
    const NoGrad no_grad;
    const Predictions found = find_predictions(output, config.inference);
    const Tensor query = found.query.to_host();
    for (size_t b = 0; b + 1 < found.first.size(); ++b) {
      const i64 first = found.first[b], last = found.first[b + 1];
      std::vector<i64> of_picture;  // counted in the picture
      for (i64 p = first; p < last; ++p)
        of_picture.push_back(query.data<i64>()[p] - static_cast<i64>(b) * config.queries);
      const std::string key = fmt::format("{}{}.", before, b);
      compare_ids(key + "query", Tensor::from(of_picture));
      compare_ids(key + "label", found.classes.rows(first, last));
      compare(key + "score", found.scores.rows(first, last));
    }
  }

  // On the final queries, apart from the rest.
  void box_scores(Output output, const GroundTruth& objects, const Matches& matches, const Config& config) {
    Random random(0);
    Perceptron head(number("channels"), 1, random);
    const auto naming = [](const std::string& name) { return "heads.1.box_score." + name; };
    generate(head, naming, text("score.prefix"));
    const Var queries(output.queries.value(), true);
    output.box_scores = reshape(head(queries), {queries.dim(0)});
    const Tensor boxes = ops::gather_rows(decode(output.deltas.detach(), output.anchors).value(), matches.query);
    const Tensor targets = score_targets(ops::paired_box_iou(boxes, ops::gather_rows(objects.boxes, matches.object)));
    const Var loss =
        l1_loss(gather_rows(output.box_scores, matches.query), targets, Reduction::kSum) * config.loss.score_weight;
    const Shape per_picture{output.selected.dim(0), output.selected.dim(1)};
    compare("score.raw", output.box_scores.value().reshape(per_picture));
    compare("score.target", targets);
    compare("score.loss", loss.value());
    loss.backward();
    compare("score.grad.queries", queries.grad().reshape({per_picture[0], per_picture[1], queries.dim(1)}),
            tolerances.gradient);
    compare_gradients(head, naming, "score.grad.");
    detections("score.det.", output, config);
  }

  void extended_iou() {
    const Var boxes(stored("eiou.pred").to(device()), true);
    const Tensor targets = stored("eiou.target").to(device());
    const Var loss = extended_box_iou_loss(boxes, targets, Reduction::kNone);
    compare("eiou.loss", loss.value());
    loss.backward(Tensor::full(loss.shape(), 1, DType::kF32, device()));
    compare_gradient("eiou.grad", boxes);
  }
};

const bool kAdded =
    add_network({.name = "FQDet's anchors",
                 .recognises = [](const SafeTensors& file) { return file.contains("anchors") && file.contains("iou"); },
                 .check = check_with<AnchorsGolden>}) &&
    add_network(
        {.name = "FQDet's matching",
         .recognises = [](const SafeTensors& file) { return file.contains("selected") && file.contains("top15"); },
         .check = check_with<MatchingGolden>}) &&
    add_network(
        {.name = "FQDet's suppression",
         .recognises = [](const SafeTensors& file) { return file.contains("keep") && file.metadata().contains("thr"); },
         .check = check_with<NmsGolden>}) &&
    add_network(
        {.name = "FQDet's head",
         .recognises = [](const SafeTensors& file) { return file.contains("sel_ids") && file.contains("top15"); },
         .check = check_with<HeadGolden>});

}  // namespace

}  // namespace tessera::goldens
