// A panoptic file as a data set of instances: one annotation per segment.
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "data/image.h"
#include "data/panoptic.h"
#include "data/parallel.h"
#include "data/tally.h"

namespace tessera {

namespace {

// That every PNG exists and has its image's size, as far as the headers tell.
void check_pngs(const PanopticFile& file) {
  std::unordered_map<i64, ImageSize> sizes;
  for (const CocoImage& image : file.images) sizes[image.id] = {image.height, image.width};
  enum Fault : u8 { kNone, kAbsent, kUnreadable, kOtherSize };
  constexpr const char* kWords[] = {"", "do not exist", "cannot be read", "have another size than their image"};
  std::vector<std::pair<Fault, std::string>> faults(file.pictures.size());
  parallel_for(static_cast<i64>(faults.size()), [&](i64 i) {
    const PanopticPicture& picture = file.pictures[static_cast<size_t>(i)];
    const std::filesystem::path png = file.png_of(picture);
    auto& [fault, what] = faults[static_cast<size_t>(i)];
    what = picture.png;
    std::error_code ignored;
    try {
      const auto size = sizes.find(picture.image_id);
      if (!std::filesystem::exists(png, ignored))
        fault = kAbsent;
      else if (const ImageSize has = image_size(png); size != sizes.end() && has != size->second)
        fault = kOtherSize;
    } catch (const Error& error) {
      fault = kUnreadable;
      what = error.what();
    }
  });
  std::vector<std::string> lines;
  for (const Fault kind : {kAbsent, kUnreadable, kOtherSize}) {
    Tally tally;
    for (const auto& [fault, what] : faults)
      if (fault == kind) tally.add(what);
    if (tally.count > 0)
      lines.push_back(fmt::format("{} of the {} PNGs of segments in {} {} ({})", tally.count, faults.size(),
                                  file.folder.string(), kWords[kind], tally.names()));
  }
  TESSERA_CHECK(lines.empty(), "{}: {}", file.name, fmt::join(lines, "; and "));
}

}  // namespace

CocoDataset load_panoptic_dataset(const std::filesystem::path& path) {
  PanopticFile file = load_panoptic(path);
  TESSERA_CHECK(!file.images.empty() && !file.categories.empty(),
                "{}: there are no \"images\" or no \"categories\"; is this a file of annotations, not of results?",
                file.name);
  check_pngs(file);
  CocoDataset dataset;
  dataset.name = file.name;
  dataset.images = std::move(file.images);
  dataset.categories = std::move(file.categories);
  std::unordered_set<i64> seen;
  for (const PanopticPicture& picture : file.pictures) {
    TESSERA_CHECK(seen.insert(picture.image_id).second, "{}: image {} is annotated twice", file.name, picture.image_id);
    const auto png = std::make_shared<const std::filesystem::path>(file.png_of(picture));
    for (const PanopticSegment& segment : picture.segments) {
      CocoAnnotation& annotation = dataset.annotations.emplace_back();
      annotation.id = static_cast<i64>(dataset.annotations.size());
      annotation.image_id = picture.image_id;
      annotation.category_id = segment.category_id;
      annotation.bbox = segment.bbox;
      annotation.area = segment.area;
      annotation.iscrowd = segment.iscrowd;
      annotation.segmentation = PngSegment{png, segment.id};
    }
  }
  index_coco(dataset);
  return dataset;
}

bool is_panoptic(const CocoDataset& dataset) {
  return std::ranges::any_of(dataset.annotations, [](const CocoAnnotation& annotation) {
    return std::holds_alternative<PngSegment>(annotation.segmentation);
  });
}

i64 count_things(const CocoDataset& dataset) {
  return std::ranges::count_if(dataset.categories, &CocoCategory::isthing);
}

}  // namespace tessera
