#include "eval/score.h"

#include <future>
#include <unordered_map>

#include "data/lvis.h"
#include "eval/cityscapes_eval.h"
#include "eval/panoptic_quality.h"
#include "eval/tide.h"

namespace tessera {

namespace {

struct Inputs {
  CocoDataset annotations;
  DetectionList results;
};

// The results are read by all threads, the annotations by one more: neither waits for the other.
Inputs read_inputs(const ScoreRequest& request) {
  std::future<DetectionList> results =
      std::async(std::launch::async, [&request] { return load_detections(request.results); });
  CocoDataset annotations = load_coco(request.annotations);
  return {std::move(annotations), results.get()};
}

enum class AnnotationKind { kCoco, kLvis, kEither };

template <AnnotationKind kind, ApTask task>
Score score_ap(const CocoDataset& truth, const DetectionList& results, const ScoreRequest& request) {
  ApOptions options{.areas_from_boxes = request.areas_from_boxes, .results_name = request.results.string()};
  if (request.ratio) options.boundary_ratio = *request.ratio;
  const bool lvis = kind == AnnotationKind::kLvis || (kind == AnnotationKind::kEither && is_lvis(truth));
  ApResult result = lvis ? evaluate_lvis(truth, results, task, options) : evaluate_coco(truth, results, task, options);
  decltype(Score::figures) figures;
  for (size_t i = 0; i < result.stats.size(); ++i) figures.emplace_back(result.stat_rules[i].name, result.stats[i]);
  return {.text = ap_table(result), .json = ap_json({&result, 1}), .figures = figures, .ap = std::move(result)};
}

// For the given tasks; without any for those that the results allow: masks if the first one has a mask, boxes if it has
// a box or there is none.
Score score_tide(const CocoDataset& dataset, const DetectionList& detections, const ScoreRequest& request,
                 std::vector<ApTask> tasks) {
  if (tasks.empty()) {
    if (!detections.empty() && detections[0].segmentation) tasks.push_back(ApTask::kSegm);
    if (detections.empty() || detections[0].bbox) tasks.push_back(ApTask::kBbox);
  }
  Score score;
  std::vector<TideResult> results;
  for (const ApTask task : tasks) {
    const TideResult& result = results.emplace_back(evaluate_tide(dataset, detections, task, request.results.string()));
    score.text += tide_table(result);
    BarChart& chart = score.bars.emplace_back();
    chart.title = fmt::format("{}: dAP50 by kind of mistake, AP50 {:.2f}", name_of(task), result.ap50());
    for (size_t kind = 0; kind < kTideErrors; ++kind) chart.bars.push_back({kTideErrorNames[kind], result.dap[kind]});
    chart.bars.push_back({"FalsePos", result.dap_false_pos});
    chart.bars.push_back({"FalseNeg", result.dap_false_neg});
    const std::string prefix = tasks.size() == 1 ? "" : std::string(name_of(task)) + " ";
    score.figures.emplace_back(prefix + "AP50", result.ap50());
    for (const Bar& bar : chart.bars) score.figures.emplace_back(prefix + bar.name, bar.value);
  }
  score.json = tide_json(results);
  return score;
}

constexpr double kCityscapesBoundary = 0.005;

template <bool boundary>
Score score_cityscapes(std::span<const CityscapesImage> truth, const CityscapesResults& results,
                       const ScoreRequest& request) {
  CityscapesEvalOptions options{.boundary_ratio = {}, .progress = request.progress};
  if (boundary) options.boundary_ratio = request.ratio.value_or(kCityscapesBoundary);
  const CityscapesScores scores = evaluate_cityscapes(truth, results, options);
  decltype(Score::figures) figures = {{"AP", scores.mean_ap()}, {"AP50", scores.mean_ap50()}};
  BarChart chart{boundary ? "Cityscapes: boundary AP" : "Cityscapes: AP", {}};
  for (size_t cls = 0; cls < kCityscapesClasses.size(); ++cls)
    chart.bars.push_back({find_cityscapes_label(kCityscapesClasses[cls])->name, scores.class_ap(cls)});
  for (const Bar& bar : chart.bars) figures.emplace_back(bar.name, bar.value);
  chart.bars.push_back({"average", scores.mean_ap()});
  return {.text = cityscapes_table(scores), .json = cityscapes_json(scores), .figures = figures, .bars = {chart}};
}

// What a model found, a list per picture of the Cityscapes folder that `truth` was read from.
CityscapesResults found_in(std::span<const CityscapesImage> images, const CocoDataset& truth,
                           const DetectionList& results) {
  TESSERA_CHECK(images.size() == truth.images.size(), "{}: has {} pictures now, {} were read", truth.name,
                images.size(), truth.images.size());
  std::vector<std::vector<size_t>> positions(images.size());
  for (size_t i = 0; i < results.size(); ++i)
    positions[static_cast<size_t>(truth.image_index.at(results[i].image_id))].push_back(i);
  return [positions = std::move(positions), &results](i64 picture, i64, i64) {
    std::vector<CityscapesFound> found;
    for (const size_t i : positions[static_cast<size_t>(picture)]) {
      const RleView& mask = results[i].segmentation.value();
      found.push_back({results[i].category_id,
                       results[i].score,
                       {mask.height, mask.width, {mask.counts.begin(), mask.counts.end()}}});
    }
    return found;
  };
}

constexpr double kPanopticBoundary = 0.02;

template <bool boundary>
Score score_panoptic(const PanopticFile& truth, const PanopticResults& results, const ScoreRequest& request) {
  PanopticOptions options{.boundary_ratio = {}, .progress = request.progress};
  if (boundary) options.boundary_ratio = request.ratio.value_or(kPanopticBoundary);
  const PanopticScores scores = evaluate_panoptic(truth, results, options);
  const PanopticQuality all = scores.all();
  return {.text = panoptic_table(scores),
          .json = panoptic_json(scores),
          .figures = {{"PQ", all.pq},
                      {"SQ", all.sq},
                      {"RQ", all.rq},
                      {"PQ things", scores.things().pq},
                      {"PQ stuff", scores.stuff().pq}}};
}

// What a model found in the pictures of a panoptic file: its masks, which must share no pixel; empty ones are nothing.
PanopticResults found_in(const PanopticFile& truth, const DetectionList& results) {
  std::unordered_map<i64, std::vector<size_t>> positions;
  for (size_t i = 0; i < results.size(); ++i) positions[results[i].image_id].push_back(i);
  return [positions = std::move(positions), &truth, &results](i64 picture, i64, i64) {
    std::vector<PanopticFound> found;
    std::vector<Rle> masks;
    i64 pixels = 0;
    const auto of_picture = positions.find(truth.pictures[static_cast<size_t>(picture)].image_id);
    if (of_picture == positions.end()) return found;
    for (const size_t i : of_picture->second) {
      const RleView& view = results[i].segmentation.value();
      const i64 area = rle_area(view);
      if (area == 0) continue;
      pixels += area;
      masks.push_back({view.height, view.width, {view.counts.begin(), view.counts.end()}});
      found.push_back({results[i].category_id, masks.back()});
    }
    TESSERA_CHECK(masks.empty() || rle_area(rle_merge(masks)) == pixels,
                  "{}: the masks found in it share pixels, but a panoptic metric judges segments that share none",
                  truth.place(truth.pictures[static_cast<size_t>(picture)]));
    return found;
  };
}

constexpr auto kCoco = AnnotationKind::kCoco, kLvis = AnnotationKind::kLvis;
constexpr unsigned kMasks = Metric::kMasks, kBoxes = Metric::kBoxes, kAreas = Metric::kAreas;

template <ApTask... tasks>
Score score_tide_of(const CocoDataset& truth, const DetectionList& results, const ScoreRequest& request) {
  return score_tide(truth, results, request, {tasks...});
}

constexpr Metric kMetrics[] = {
    {"coco-segm", "COCO AP and AR of masks", kMasks | kAreas, Metric::kAreasFromBoxes, score_ap<kCoco, ApTask::kSegm>},
    {"coco-bbox", "COCO AP and AR of boxes", kBoxes | kAreas, 0, score_ap<kCoco, ApTask::kBbox>},
    {"lvis-segm", "LVIS AP and AR of masks", kMasks | kAreas | Metric::kLvis,
     Metric::kCocoCategories | Metric::kAreasFromBoxes, score_ap<kLvis, ApTask::kSegm>},
    {"lvis-bbox", "LVIS AP and AR of boxes", kBoxes | kAreas | Metric::kLvis, Metric::kCocoCategories,
     score_ap<kLvis, ApTask::kBbox>},
    {"boundary-segm", "Boundary AP and AR; by the rules of LVIS if the annotations are LVIS's", kMasks | kAreas,
     Metric::kRatio | Metric::kCocoCategories | Metric::kAreasFromBoxes,
     score_ap<AnnotationKind::kEither, ApTask::kBoundary>},
    {"tide", "TIDE's kinds of mistakes, of masks and boxes, whichever the results have", kMasks | kBoxes, 0,
     score_tide_of<>},
    {"tide-segm", "the same of masks", kMasks, 0, score_tide_of<ApTask::kSegm>},
    {"tide-bbox", "the same of boxes", kBoxes, 0, score_tide_of<ApTask::kBbox>},
    {"cityscapes", "Cityscapes AP of objects (folders: gtFine/val, and text files with masks)", 0, 0, nullptr,
     score_cityscapes<false>},
    {"cityscapes-boundary", "the same with Boundary IoU", 0, Metric::kRatio, nullptr, score_cityscapes<true>},
    {"panoptic", "panoptic quality (COCO panoptic files, each with its folder of PNGs beside it)", 0, 0, nullptr,
     nullptr, score_panoptic<false>},
    {"panoptic-boundary", "the same with Boundary IoU", 0, Metric::kRatio, nullptr, nullptr, score_panoptic<true>},
};

// "lvis" of "lvis-segm"; nothing where there is no other half.
std::string_view family(std::string_view name) {
  return name.ends_with("-segm") || name.ends_with("-bbox") ? name.substr(0, name.size() - 5) : "";
}

}  // namespace

std::string Metric::short_name() const {
  constexpr std::string_view kDefault = "coco-";
  const std::string_view whole = name;
  return std::string(whole.starts_with(kDefault) ? whole.substr(kDefault.size()) : whole);
}

bool Metric::belongs_to(const Metric& other) const {
  return this == &other || (!family(name).empty() && family(name) == family(other.name));
}

std::span<const Metric> metrics() {
  return kMetrics;
}

const Metric& find_metric(const std::string& name) {
  std::string known;
  for (const Metric& metric : kMetrics) {
    if (name == metric.name || name == metric.short_name()) return metric;
    known += (known.empty() ? "" : ", ") + std::string(metric.name);
  }
  fail("there is no metric \"{}\"; {}", name, known);
}

void check_kind(const Metric& metric, const CocoDataset& truth) {
  TESSERA_CHECK(!(metric.demands & Metric::kLvis) || is_lvis(truth),
                "{} says of no category how frequent it is, as LVIS does and the metric {} needs", truth.name,
                metric.name);
  TESSERA_CHECK(!metric.score_cityscapes || std::filesystem::is_directory(truth.name),
                "{} is no folder of Cityscapes, which the metric {} needs", truth.name, metric.name);
  TESSERA_CHECK(!metric.score_panoptic || is_panoptic(truth), "{} is no COCO panoptic file, which the metric {} needs",
                truth.name, metric.name);
}

Score score_results(const std::string& name, const ScoreRequest& request) {
  const Metric& metric = find_metric(name);
  const auto check = [&](bool given, unsigned option, const char* text) {
    TESSERA_CHECK(!given || (metric.options & option), "score: metric {} does not take {}", name, text);
  };
  check(request.ratio.has_value(), Metric::kRatio, "--ratio");
  check(request.coco_categories, Metric::kCocoCategories, "--coco-categories");
  check(request.areas_from_boxes, Metric::kAreasFromBoxes, "--areas-from-boxes");
  if (metric.score_cityscapes) {
    const std::vector<CityscapesImage> images = list_cityscapes(request.annotations);
    return metric.score_cityscapes(images, cityscapes_result_files(images, request.results), request);
  }
  if (metric.score_panoptic) {
    const PanopticFile truth = load_panoptic(request.annotations);
    return metric.score_panoptic(truth, panoptic_result_file(truth, request.results), request);
  }
  auto [annotations, results] = read_inputs(request);
  if (request.coco_categories) annotations = with_coco_categories(annotations);
  return metric.score(annotations, results, request);
}

Score score_detections(const Metric& metric, const CocoDataset& truth, const DetectionList& results) {
  const ScoreRequest request{.annotations = truth.name, .results = "results"};
  if (metric.score) return metric.score(truth, results, request);
  if (metric.score_panoptic) {
    const PanopticFile file = load_panoptic(request.annotations);
    return metric.score_panoptic(file, found_in(file, results), request);
  }
  const std::vector<CityscapesImage> images = list_cityscapes(request.annotations);
  return metric.score_cityscapes(images, found_in(images, truth, results), request);
}

}  // namespace tessera
