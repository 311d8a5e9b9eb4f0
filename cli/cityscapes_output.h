// What `predict` finds in pictures of Cityscapes, in the format of its instance task.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/coco.h"
#include "models/segmenter.h"

namespace tessera {

class CityscapesOutput {
 public:
  // Classes are the model's and become the labels of the same name; throws when none does.
  CityscapesOutput(std::filesystem::path folder, const std::vector<std::string>& classes);

  // The result files (data/cityscapes.h) of a picture as load_cityscapes calls it: everything that evaluation judges,
  // whatever its score.
  void write(const CocoImage& image, const std::vector<Instance>& instances);

  // "cityscapes/ (12 objects; 3 of classes that Cityscapes does not have are left out)"
  std::string summary() const;

 private:
  std::filesystem::path folder_;
  std::vector<std::optional<i64>> labels_;  // of each class
  i64 written_ = 0, left_out_ = 0;
};

}  // namespace tessera
