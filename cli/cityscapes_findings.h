// What `tessera predict` finds in pictures of Cityscapes, in the format of its instance task.
#pragma once

#include <optional>

#include "cli/findings.h"

namespace tessera {

// In the folder cityscapes: of each picture its text file and its masks (data/cityscapes.h). The model's classes become
// the labels of the same name.
class CityscapesFindings : public Findings {
 public:
  // Throws where no class is one of Cityscapes', or the model has no masks.
  CityscapesFindings(const LoadedModel& model, const std::filesystem::path& out);

  std::vector<std::filesystem::path> outputs(const std::vector<std::string>& names) const override;
  bool takes_all() const override { return true; }
  void write(const FoundPicture& picture) const override;
  void add(FoundPicture picture) override;
  std::string save() override;  // "cityscapes/ (12 objects; 3 of classes that Cityscapes does not have are left out)"

 private:
  std::optional<i64> label(const Instance& instance) const;

  const std::filesystem::path folder_;
  std::vector<std::optional<i64>> labels_;  // of each class
  i64 written_ = 0, left_out_ = 0;          // objects
};

}  // namespace tessera
