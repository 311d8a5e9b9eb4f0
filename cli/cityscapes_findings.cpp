#include "cli/cityscapes_findings.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "data/cityscapes.h"

namespace tessera {

namespace {

// <city>_<seq>_<frame> of a picture, however it is called besides.
std::string street_of(const std::filesystem::path& picture) {
  const std::string file = picture.stem().string(), ending = std::filesystem::path(kCityscapesPicture).stem().string();
  return file.ends_with(ending) ? file.substr(0, file.size() - ending.size()) : file;
}

bool is_empty(const Instance& instance) {
  return rle_area(instance.mask) == 0;
}

}  // namespace

CityscapesFindings::CityscapesFindings(const LoadedModel& model, const std::filesystem::path& out)
    : folder_(out / "cityscapes") {
  TESSERA_CHECK(model.model->has_masks(), "predict: results of Cityscapes are masks, and the model finds boxes alone");
  for (const std::string& name : model.info.classes) {
    const auto label = std::ranges::find(kCityscapesClasses, name,
                                         [](i64 id) -> std::string { return find_cityscapes_label(id)->name; });
    labels_.push_back(label == kCityscapesClasses.end() ? std::nullopt : std::optional(*label));
  }
  TESSERA_CHECK(std::ranges::any_of(labels_, [](const auto& label) { return label.has_value(); }),
                "predict: none of the model's classes ({}) is one of Cityscapes'", fmt::join(model.info.classes, ", "));
}

std::vector<std::filesystem::path> CityscapesFindings::outputs(const std::vector<std::string>& names) const {
  std::vector<std::filesystem::path> files;
  for (const std::string& name : names) files.push_back(cityscapes_result_file(folder_, street_of(name + ".png")));
  return files;
}

std::optional<i64> CityscapesFindings::label(const Instance& instance) const {
  return labels_[static_cast<size_t>(instance.class_index)];
}

void CityscapesFindings::write(const FoundPicture& picture) const {
  std::vector<CityscapesFound> found;
  for (const Instance& instance : picture.instances)
    if (label(instance) && !is_empty(instance)) found.push_back({*label(instance), instance.score, instance.mask});
  save_cityscapes_results(folder_, street_of(picture.image.file_name), found);
}

void CityscapesFindings::add(FoundPicture picture) {
  for (const Instance& instance : picture.instances)
    if (!is_empty(instance)) ++(label(instance) ? written_ : left_out_);
}

std::string CityscapesFindings::save() {
  return fmt::format(
      "{}/ ({} objects{})", folder_.filename().string(), written_,
      left_out_ == 0 ? "" : fmt::format("; {} of classes that Cityscapes does not have are left out", left_out_));
}

}  // namespace tessera
