#include "eval/panoptic_quality.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <unordered_map>

#include "data/parallel.h"
#include "data/tally.h"
#include "eval/region.h"

namespace tessera {

namespace {

constexpr double kLeastOverlap = 0.5;  // of a match: it must be greater
constexpr double kMostIgnored = 0.5;   // of a wrong segment: not more of it may be void or crowd

using ClassIndex = std::unordered_map<i64, size_t>;  // category id -> position in the file

ClassIndex class_index_of(const PanopticFile& truth) {
  ClassIndex index;
  for (const CocoCategory& category : truth.categories)
    TESSERA_CHECK(index.emplace(category.id, index.size()).second, "{}: category id {} occurs twice", truth.name,
                  category.id);
  TESSERA_CHECK(!index.empty(), "{}: there is no \"categories\"; is this a COCO panoptic file?", truth.name);
  return index;
}

// An annotated segment, or a found one, whose area is the number of its pixels.
struct Segment {
  size_t cls = 0;
  double area = 0;
  bool crowd = false;
  i64 id = 0;
  Region region;
};

struct Picture {
  Rle unlabelled = {};              // void
  std::vector<Segment> truth = {};  // by ascending id
  size_t found = 0;
  // What it adds to each class's counts, in the order in which it is added.
  struct Match {
    size_t cls;
    double iou;
  };
  std::vector<Match> matches = {};
  std::vector<size_t> wrong = {}, missed = {};  // classes
};

Rle background(i64 height, i64 width) {
  return {height, width, {static_cast<u32>(height * width)}};
}

// `crowd_of`: of each class that has one the crowd that is listed last.
Picture read_truth(const PanopticFile& file, const PanopticPicture& annotated, const ClassIndex& classes,
                   std::optional<double> ratio, std::map<size_t, Rle>& crowd_of) {
  std::vector<LabelRegion> regions = load_segments(file.png_of(annotated));
  const i64 height = regions[0].mask.height, width = regions[0].mask.width;
  Picture picture{.unlabelled = regions[0].value == 0 ? regions[0].mask : background(height, width)};
  for (const PanopticSegment& segment : annotated.segments) {
    const auto cls = classes.find(segment.category_id);
    TESSERA_CHECK(cls != classes.end(), "{}: segment {}: there is no category {}", file.place(annotated), segment.id,
                  segment.category_id);
    TESSERA_CHECK(segment.area, "{}: segment {}: an \"area\" is needed, a finite number", file.place(annotated),
                  segment.id);
    const auto region = std::ranges::find(regions, segment.id, &LabelRegion::value);
    Rle mask = region == regions.end() ? background(height, width) : region->mask;
    if (segment.iscrowd) crowd_of[cls->second] = mask;
    picture.truth.push_back({cls->second, *segment.area, segment.iscrowd, segment.id, Region(std::move(mask), ratio)});
  }
  std::ranges::sort(picture.truth, {}, &Segment::id);
  return picture;
}

double over_union(i64 common, i64 found, double area, i64 found_void) {
  return static_cast<double>(common) /
         (static_cast<double>(found) + area - static_cast<double>(common) - static_cast<double>(found_void));
}

Picture judge(const PanopticFile& file, i64 i, const PanopticResults& results, const ClassIndex& classes,
              std::optional<double> ratio) {
  const PanopticPicture& annotated = file.pictures[static_cast<size_t>(i)];
  std::map<size_t, Rle> crowd_of;
  Picture picture = read_truth(file, annotated, classes, ratio, crowd_of);
  std::vector<Segment> found;
  for (PanopticFound& segment : results(i, picture.unlabelled.height, picture.unlabelled.width)) {
    const auto cls = classes.find(segment.category_id);
    TESSERA_CHECK(cls != classes.end(), "{}: a segment found in it has the category {}, which the file does not have",
                  file.place(annotated), segment.category_id);
    found.push_back({cls->second, 0, false, 0, Region(std::move(segment.mask), ratio)});
  }
  picture.found = found.size();

  std::vector<bool> matched(found.size(), false);
  for (const Segment& g : picture.truth) {
    bool hit = false;
    for (size_t p = 0; p < found.size() && !g.crowd; ++p) {
      const Region& region = found[p].region;
      const i64 common = g.cls == found[p].cls ? rle_common_area(g.region.mask, region.mask) : 0;
      if (common == 0) continue;
      const i64 in_void = rle_common_area(picture.unlabelled, region.mask);
      double iou = over_union(common, region.pixels, g.area, in_void);
      TESSERA_CHECK(iou != std::numeric_limits<double>::infinity(),
                    "{}: segment {}: its \"area\" of {} is less than what of it was found", file.place(annotated), g.id,
                    g.area);
      if (ratio)
        iou = std::min(iou, over_union(rle_common_area(g.region.boundary, region.boundary), region.boundary_pixels,
                                       static_cast<double>(g.region.boundary_pixels),
                                       rle_common_area(picture.unlabelled, region.boundary)));
      if (!(iou > kLeastOverlap)) continue;
      hit = matched[p] = true;
      picture.matches.push_back({g.cls, iou});
    }
    if (!hit && !g.crowd) picture.missed.push_back(g.cls);
  }
  for (size_t p = 0; p < found.size(); ++p) {
    if (matched[p]) continue;
    const Region& region = found[p].region;
    i64 ignored = rle_common_area(picture.unlabelled, region.mask);
    if (const auto crowd = crowd_of.find(found[p].cls); crowd != crowd_of.end())
      ignored += rle_common_area(crowd->second, region.mask);
    if (static_cast<double>(ignored) / static_cast<double>(region.pixels) > kMostIgnored) continue;
    picture.wrong.push_back(found[p].cls);
  }
  picture.truth.clear();  // masks live as long as this function
  picture.unlabelled = {};
  return picture;
}

}  // namespace

PanopticQuality PanopticScores::all() const {
  return mean(std::nullopt);
}

PanopticQuality PanopticScores::mean(std::optional<bool> isthing) const {
  PanopticQuality mean;
  for (size_t c = 0; c < categories.size(); ++c) {
    if ((isthing && *isthing != categories[c].isthing) || !counts[c].any()) continue;
    mean.pq += counts[c].pq();
    mean.sq += counts[c].sq();
    mean.rq += counts[c].rq();
    ++mean.categories;
  }
  const double n = static_cast<double>(std::max<i64>(mean.categories, 1));
  return {mean.pq / n, mean.sq / n, mean.rq / n, mean.categories};
}

PanopticResults panoptic_result_file(const PanopticFile& truth, const std::filesystem::path& results) {
  const auto file = std::make_shared<const PanopticFile>(load_panoptic(results));
  std::unordered_map<i64, size_t> entry_of;
  for (size_t i = 0; i < file->pictures.size(); ++i) entry_of[file->pictures[i].image_id] = i;
  Tally absent;
  for (const PanopticPicture& picture : truth.pictures)
    if (!entry_of.contains(picture.image_id)) absent.add(std::to_string(picture.image_id));
  TESSERA_CHECK(absent.count == 0, "{}: {} of the {} pictures of {} have no entry (image {})", file->name, absent.count,
                truth.pictures.size(), truth.name, absent.names());
  return [&truth, file, classes = class_index_of(truth), entry_of = std::move(entry_of)](i64 i, i64 height, i64 width) {
    const PanopticPicture& picture = file->pictures[entry_of.at(truth.pictures[static_cast<size_t>(i)].image_id)];
    std::unordered_map<i64, i64> category_of;
    for (const PanopticSegment& segment : picture.segments) {
      category_of[segment.id] = segment.category_id;
      TESSERA_CHECK(classes.contains(segment.category_id), "{}: segment {}: there is no category {} in {}",
                    file->place(picture), segment.id, segment.category_id, truth.name);
    }
    std::vector<PanopticFound> found;
    for (LabelRegion& region : load_segments(file->png_of(picture))) {
      TESSERA_CHECK(region.mask.height == height && region.mask.width == width,
                    "{}: its PNG is {} x {} (height x width), that of the annotations {} x {}", file->place(picture),
                    region.mask.height, region.mask.width, height, width);
      if (region.value == 0) continue;
      const auto entry = category_of.find(region.value);
      TESSERA_CHECK(entry != category_of.end(), "{}: segment {} of the PNG is not in the \"segments_info\"",
                    file->place(picture), region.value);
      found.push_back({entry->second, std::move(region.mask)});
      category_of.erase(entry);
    }
    for (const PanopticSegment& segment : picture.segments)
      TESSERA_CHECK(!category_of.contains(segment.id), "{}: segment {} has no pixel in the PNG", file->place(picture),
                    segment.id);
    return found;
  };
}

PanopticScores evaluate_panoptic(const PanopticFile& truth, const PanopticResults& results,
                                 const PanopticOptions& options) {
  const ClassIndex classes = class_index_of(truth);
  PanopticScores scores{.categories = truth.categories,
                        .counts = std::vector<PanopticCounts>(truth.categories.size()),
                        .images = static_cast<i64>(truth.pictures.size()),
                        .boundary = options.boundary_ratio.has_value()};
  std::vector<Picture> pictures(truth.pictures.size());
  i64 done = 0;
  parallel_for(
      scores.images,
      [&](i64 i) {
        pictures[static_cast<size_t>(i)] = judge(truth, i, results, classes, options.boundary_ratio);
#pragma omp critical(tessera_panoptic_progress)
        if (options.progress) options.progress(++done, scores.images);
      },
      1);
  for (const Picture& picture : pictures) {
    scores.segments += static_cast<i64>(picture.found);
    for (const auto& [cls, iou] : picture.matches) {
      scores.counts[cls].iou += iou;
      ++scores.counts[cls].right;
    }
    for (const size_t cls : picture.wrong) ++scores.counts[cls].wrong;
    for (const size_t cls : picture.missed) ++scores.counts[cls].missed;
  }
  return scores;
}

}  // namespace tessera
