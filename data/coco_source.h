// Samples from COCO annotations and a folder of pictures.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/coco.h"
#include "data/geometry.h"
#include "data/loader.h"
#include "data/tally.h"
#include "data/transforms.h"

namespace tessera {

struct CocoSourceConfig {
  std::optional<AugmentConfig> augment =
      std::nullopt;  // training; absent: every picture is resized as the next line says
  i64 shortest = 640, longest = 853;
  ResizeRule resize = ResizeRule::kDetectron2;  // of such a picture
  ImageSize window = {416, 416};                // for letterbox and stretch
  u64 seed = 0;                                 // of the augmentation
  bool skip_empty = false;                      // leave out pictures without an object (crowd regions are none)
  bool targets = true;                          // false: pictures only, for inference
  // Repeat-factor sampling (Gupta et al., "LVIS", CVPR 2019, section 3.4): in training a picture is drawn
  // max(1, max over its categories c of sqrt(threshold / f_c)) times an epoch on average, f_c being the share of the
  // pictures with an object of c. 0: each once.
  double repeat_threshold = 0;
};

// Targets are the annotations that are no crowd and whose mask has a pixel at the picture's own size, as the network is
// to find them. What a resize and a crop make of masks and boxes is the rule's (ResizeRule); a box that the file does
// not have, or has an empty one, is that of the mask, but by DETR's rule an empty one is a reason to leave its object
// out. An object of which augmentation leaves nothing is dropped from that sample.
//
// Augmentation, in its order: the geometry (data/transforms.h); in its place a mosaic of the size that the sample has
// without, of it and three others of the data set; objects pasted over of another one, which is jittered in scale by
// [0.1, 2] of that size; colours. Each draws from a stream of its own.
class CocoSource : public SampleSource {
 public:
  // Throws when the settings make no sense, when no picture is left to load, and, if targets are asked for, when no
  // object is left to find.
  CocoSource(std::shared_ptr<const CocoDataset> dataset, std::filesystem::path images, CocoSourceConfig config);

  const CocoDataset& dataset() const { return *dataset_; }
  const std::filesystem::path& folder() const { return images_; }
  // Which annotations are no targets and why: "3 of 20 objects are left out: 2 without a mask (annotations 4, 7), ..".
  // Empty when all are, or when targets are not asked for.
  std::string left_out() const;
  const Tally& boxes_of_masks() const { return boxes_of_masks_; }  // targets whose box is their mask's: annotation ids

  // How many objects so far augmentation left something of, but fewer pixels than AugmentConfig::least_pixels.
  i64 too_small() const { return too_small_; }
  i64 fullest() const { return fullest_; }  // the most objects of one sample so far, which mosaics and pasting add to

  i64 size() const override { return static_cast<i64>(chosen_.size()); }
  i64 objects(i64 index) const;  // to be found in sample `index`, before augmentation
  // Throws when the file cannot be read or its size is not the annotated one.
  Sample load(i64 epoch, i64 index) const override;
  Targets targets(i64 epoch, i64 index) const;  // of that sample; its picture is not read
  ImageSize original_size(i64 index) const override;
  double repeats(i64 index) const override;
  const CocoImage& image(i64 index) const { return dataset_->images[static_cast<size_t>(position(index))]; }

 private:
  ResizeRule rule() const { return config_.augment ? config_.augment->resize : config_.resize; }
  i64 position(i64 index) const { return chosen_[static_cast<size_t>(index)]; }
  Random random(const char* purpose, i64 epoch, i64 index) const;
  void count_repeats();
  i64 another(i64 index, Random& random) const;
  Geometry geometry(i64 epoch, i64 index) const;
  // With or without its picture.
  Sample sample(i64 epoch, i64 index, bool picture) const;
  Sample plain_sample(i64 index, const Geometry& geometry, bool picture) const;
  Sample mosaic_sample(i64 index, ImageSize size, Random& random, bool picture) const;
  void paste_onto(Sample& sample, i64 index, Random& random) const;
  Targets targets(i64 index, const Geometry& geometry) const;

  std::shared_ptr<const CocoDataset> dataset_;
  std::filesystem::path images_;
  CocoSourceConfig config_;
  std::vector<bool> kept_;         // of each annotation: is it a target?
  std::vector<i64> chosen_;        // positions in dataset_->images
  std::vector<double> repeats_;    // of each of them; empty: 1
  std::array<Tally, 5> left_out_;  // annotation ids by reason
  Tally boxes_of_masks_;
  mutable std::atomic<i64> too_small_ = 0, fullest_ = 0;
};

}  // namespace tessera
