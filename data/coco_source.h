// Samples from COCO annotations and a folder of pictures.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/coco.h"
#include "data/geometry.h"
#include "data/loader.h"
#include "data/transforms.h"

namespace tessera {

struct CocoSourceConfig {
  std::optional<AugmentConfig> augment =
      std::nullopt;  // training; absent: every picture is resized as the next line says
  i64 shortest = 640, longest = 853;
  u64 seed = 0;             // of the augmentation
  bool skip_empty = false;  // leave out pictures without an object (crowd regions are none)
  bool targets = true;      // false: pictures only, for inference
};

// Targets are the annotations that are no crowd, as the network is to find them. Polygons are mapped as coordinates and
// drawn at the network's size; RLE masks are decoded, cropped, flipped and resized by nearest. Boxes are the annotated
// ones, or the masks' own behind a crop. An object whose box or mask is empty afterwards is dropped.
class CocoSource : public SampleSource {
 public:
  // Throws when the settings make no sense, when no picture is left to load, and, if targets are asked for, when an
  // annotation has no segmentation.
  CocoSource(std::shared_ptr<const CocoDataset> dataset, std::filesystem::path images, CocoSourceConfig config);

  i64 size() const override { return static_cast<i64>(chosen_.size()); }
  // Throws when the file cannot be read or its size is not the annotated one.
  Sample load(i64 epoch, i64 index) const override;
  ImageSize original_size(i64 index) const override;

 private:
  const CocoImage& image(i64 index) const {
    return dataset_->images[static_cast<size_t>(chosen_[static_cast<size_t>(index)])];
  }
  Targets targets(i64 image, const Geometry& geometry) const;

  std::shared_ptr<const CocoDataset> dataset_;
  std::filesystem::path images_;
  CocoSourceConfig config_;
  std::vector<i64> chosen_;  // positions in dataset_->images
};

}  // namespace tessera
