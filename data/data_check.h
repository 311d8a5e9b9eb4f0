// What is wrong with a data set, all of it, where those who read it for training or evaluation stop at the first.
#pragma once

#include <array>
#include <compare>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/coco.h"
#include "data/image.h"
#include "data/parallel.h"

namespace tessera {

// Is a picture there, and the one that was annotated?
enum class PictureFault { kNone, kAbsent, kUnreadable, kOtherSize };

struct CheckedPicture {
  PictureFault fault = PictureFault::kNone;
  std::string what = {};  // the name of the picture, or the error
};

// `size_of` reads the picture of a file, as much of it as is to be checked: image_size the header alone.
CheckedPicture check_picture(const CocoImage& image, const std::filesystem::path& folder,
                             const std::function<ImageSize(const std::filesystem::path&)>& size_of = image_size);

// The categories whose id or name is not among the other set's, for messages.
std::vector<std::string> strange_categories(const CocoDataset& dataset, const CocoDataset& other);

enum class Defect : u8 {
  kAbsentPicture,
  kDamagedPicture,
  kOtherSize,
  kRepeatedId,
  kUnknownId,
  kNoMask,
  kMalformedMask,
  kEmptyMask,
  kBadBox,
  kBadArea,
  kStrangeCategory,
  kLeak,
  kNoObject,
  kDuplicate,  // the first remark: it and those behind it may be meant
  kDamagedPart,
  kNoBox,
  kNoArea,
  kUnusedClass,
};

struct DefectKind {
  Defect defect;
  const char* name;   // in JSON: "absent_pictures"
  const char* words;  // "pictures that do not exist"
  bool is_fault() const { return defect < Defect::kDuplicate; }
};

// In the order of the enumeration.
inline constexpr std::array<DefectKind, 18> kDefectKinds = {{
    {Defect::kAbsentPicture, "absent_pictures", "pictures that do not exist"},
    {Defect::kDamagedPicture, "damaged_pictures", "pictures that cannot be read"},
    {Defect::kOtherSize, "other_sizes", "pictures of another size than annotated"},
    {Defect::kRepeatedId, "repeated_ids", "ids that occur twice"},
    {Defect::kUnknownId, "unknown_ids", "annotations of an unknown image or category"},
    {Defect::kNoMask, "absent_masks", "annotations without a mask"},
    {Defect::kMalformedMask, "malformed_masks", "malformed masks"},
    {Defect::kEmptyMask, "empty_masks", "masks without a pixel in the picture"},
    {Defect::kBadBox, "bad_boxes", "boxes that are empty or reach out of the picture"},
    {Defect::kBadArea, "bad_areas", "areas that are not above 0"},
    {Defect::kStrangeCategory, "strange_categories", "categories that are not those of the training set"},
    {Defect::kLeak, "leaks", "pictures that the training set has, too"},
    {Defect::kNoObject, "absent_objects", "sets without an object (crowd regions are none)"},
    {Defect::kDuplicate, "duplicates", "pictures with the same content as another"},
    {Defect::kDamagedPart, "damaged_parts", "pictures of which a part may be lost"},
    {Defect::kNoBox, "absent_boxes", "annotations without a box"},
    {Defect::kNoArea, "absent_areas", "annotations without an area"},
    {Defect::kUnusedClass, "unused_classes", "classes without objects"},
}};

// The defects of one data set, found step by step.
class DataCheck {
 public:
  // Of read_coco_entries() or indexed. Finds repeated and unknown ids, whose entries take no part in what follows, and
  // classes without objects (crowd regions are none), or that no class has any.
  explicit DataCheck(CocoDataset dataset);

  // Masks, boxes and areas, on all threads. A box may reach out of the picture by a pixel: tools round.
  void check_annotations(const Counted& counted = [](i64, i64) {});
  // Every picture is decoded as a whole, on all threads. Files of the same bytes are duplicates.
  void check_pictures(
      const std::filesystem::path& folder, const Counted& counted = [](i64, i64) {});
  // What this set, of validation, has in common with the training set and should not, and the other way round. Both
  // have had their pictures checked.
  void check_against(const DataCheck& train);

  const CocoDataset& dataset() const { return dataset_; }
  const std::vector<std::string>& found(Defect defect) const { return found_[static_cast<size_t>(defect)]; }
  i64 faults() const { return count(true); }
  i64 remarks() const { return count(false); }

 private:
  // Files of equal size and equal hash are taken for equal: of a million files two that differ would be with a chance
  // of 1 in 10^7.
  struct Content {
    size_t size = 0, hash = 0;
    auto operator<=>(const Content&) const = default;
  };

  void add(Defect defect, std::string what) { found_[static_cast<size_t>(defect)].push_back(std::move(what)); }
  i64 count(bool faults) const;

  CocoDataset dataset_;
  std::array<std::vector<std::string>, kDefectKinds.size()> found_;  // by defect, in the order of the file
  std::vector<std::optional<Content>> contents_;                     // of each picture whose file can be read
};

}  // namespace tessera
