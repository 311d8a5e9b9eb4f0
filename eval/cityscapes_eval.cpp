#include "eval/cityscapes_eval.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/parallel.h"
#include "eval/cityscapes_match.h"
#include "eval/region.h"

namespace tessera {

namespace {

constexpr size_t kClasses = kCityscapesClasses.size();

double overlap_of(i64 common, i64 a, i64 b) {
  return static_cast<double>(common) / static_cast<double>(a + b - common);
}

// Nothing when the two do not meet; with boundaries, when those do not meet.
std::optional<CityscapesScene::Pair> compare(size_t g, const Region& truth, size_t d, const Region& found) {
  const i64 common = rle_common_area(truth.mask, found.mask);
  if (common == 0) return std::nullopt;
  CityscapesScene::Pair pair{g, d, common, overlap_of(common, truth.pixels, found.pixels)};
  if (!truth.boundary.counts.empty()) {
    const i64 boundary = rle_common_area(truth.boundary, found.boundary);
    if (boundary == 0) return std::nullopt;
    pair.overlap = std::min(pair.overlap, overlap_of(boundary, truth.boundary_pixels, found.boundary_pixels));
  }
  return pair;
}

// What one picture has of each class.
struct Picture {
  std::array<CityscapesScene, kClasses> scenes;
  i64 detections = 0;
};

size_t class_of(i64 label) {  // kClasses: none
  return static_cast<size_t>(std::ranges::find(kCityscapesClasses, label) - kCityscapesClasses.begin());
}

Picture read_picture(const CityscapesImage& image, i64 i, const CityscapesResults& results,
                     std::optional<double> ratio) {
  Picture picture;
  std::array<std::vector<Region>, kClasses> truths;
  std::vector<CityscapesRegion> regions = load_cityscapes_regions(image.instances);
  const i64 height = regions[0].mask.height, width = regions[0].mask.width;
  std::vector<Rle> ignored = {{height, width, {static_cast<u32>(height * width)}}};
  for (CityscapesRegion& region : regions) {
    const size_t cls = class_of(region.label());
    if (cls < kClasses) {
      const Region& truth = truths[cls].emplace_back(std::move(region.mask), ratio);
      picture.scenes[cls].truths.push_back({truth.pixels, region.is_object()});
    } else if (const CityscapesLabel* label = find_cityscapes_label(region.value); label && label->ignored) {
      ignored.push_back(std::move(region.mask));  // but not a single caravan, whose value is no label
    }
  }
  const Rle unlabelled = rle_merge(ignored);

  for (CityscapesFound& detection : results(i, height, width)) {
    ++picture.detections;
    const size_t cls = class_of(detection.label);
    if (cls == kClasses) continue;
    const Region found(std::move(detection.mask), ratio);
    if (found.pixels == 0) continue;
    CityscapesScene& scene = picture.scenes[cls];
    for (size_t g = 0; g < truths[cls].size(); ++g)
      if (const auto pair = compare(g, truths[cls][g], scene.found.size(), found)) scene.pairs.push_back(*pair);
    scene.found.push_back({detection.confidence, found.pixels, rle_common_area(found.mask, unlabelled)});
  }
  return picture;
}

// Of what is a number.
double mean(std::span<const double> values) {
  double sum = 0, count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double CityscapesScores::class_ap(size_t cls) const {
  return mean(ap[cls]);
}

double CityscapesScores::mean_ap() const {
  std::vector<double> all;
  for (const auto& cls : ap) all.insert(all.end(), cls.begin(), cls.end());
  return mean(all);
}

double CityscapesScores::mean_ap50() const {
  std::array<double, kClasses> all{};
  for (size_t cls = 0; cls < kClasses; ++cls) all[cls] = class_ap50(cls);
  return mean(all);
}

CityscapesResults cityscapes_result_files(std::span<const CityscapesImage> images, const std::filesystem::path& root) {
  return [texts = find_cityscapes_results(images, root), root](i64 i, i64 height, i64 width) {
    std::vector<CityscapesFound> found;
    for (const CityscapesDetection& line : load_cityscapes_results(texts[static_cast<size_t>(i)], root)) {
      const bool compared = class_of(line.label) < kClasses;
      found.push_back({line.label, line.confidence, compared ? load_cityscapes_mask(line.mask, height, width) : Rle{}});
    }
    return found;
  };
}

CityscapesScores evaluate_cityscapes(const std::filesystem::path& annotations, const std::filesystem::path& results,
                                     const CityscapesEvalOptions& options) {
  const std::vector<CityscapesImage> images = list_cityscapes(annotations);
  return evaluate_cityscapes(images, cityscapes_result_files(images, results), options);
}

CityscapesScores evaluate_cityscapes(std::span<const CityscapesImage> images, const CityscapesResults& results,
                                     const CityscapesEvalOptions& options) {
  CityscapesScores scores;
  scores.images = static_cast<i64>(images.size());
  std::vector<Picture> pictures(images.size());  // scenes are numbers; masks live as long as read_picture
  i64 done = 0;
  parallel_for(scores.images, [&](i64 i) {
    pictures[i] = read_picture(images[i], i, results, options.boundary_ratio);
#pragma omp critical(tessera_cityscapes_progress)
    if (options.progress) options.progress(++done, scores.images);
  });
  for (const Picture& picture : pictures) scores.detections += picture.detections;
  for (size_t cls = 0; cls < kClasses; ++cls) {
    for (size_t t = 0; t < kCityscapesThresholds; ++t) {
      CityscapesEvidence evidence;
      for (const Picture& picture : pictures) judge_cityscapes(picture.scenes[cls], cityscapes_threshold(t), evidence);
      scores.ap[cls][t] = cityscapes_ap(std::move(evidence));
    }
  }
  return scores;
}

}  // namespace tessera
