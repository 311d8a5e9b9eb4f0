#include "cli/cityscapes_output.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "data/cityscapes.h"

namespace tessera {

CityscapesOutput::CityscapesOutput(std::filesystem::path folder, const std::vector<std::string>& classes)
    : folder_(std::move(folder)) {
  for (const std::string& name : classes) {
    const auto label = std::ranges::find(kCityscapesClasses, name,
                                         [](i64 id) -> std::string { return find_cityscapes_label(id)->name; });
    labels_.push_back(label == kCityscapesClasses.end() ? std::nullopt : std::optional(*label));
  }
  TESSERA_CHECK(std::ranges::any_of(labels_, [](const auto& label) { return label.has_value(); }),
                "predict: none of the model's classes ({}) is one of Cityscapes'", fmt::join(classes, ", "));
}

void CityscapesOutput::write(const CocoImage& image, const std::vector<Instance>& instances) {
  std::vector<CityscapesFound> found;
  for (const Instance& instance : instances) {
    if (rle_area(instance.mask) == 0) continue;  // passed over by the evaluation, too
    if (const std::optional<i64> label = labels_[static_cast<size_t>(instance.class_index)])
      found.push_back({*label, instance.score, instance.mask});
    else
      ++left_out_;
  }
  std::string name = std::filesystem::path(image.file_name).filename().string();
  name.resize(name.size() - kCityscapesPicture.size());
  save_cityscapes_results(folder_, name, found);
  written_ += std::ssize(found);
}

std::string CityscapesOutput::summary() const {
  return fmt::format(
      "{}/ ({} objects{})", folder_.filename().string(), written_,
      left_out_ == 0 ? "" : fmt::format("; {} of classes that Cityscapes does not have are left out", left_out_));
}

}  // namespace tessera
