// tessera data check: everything that is wrong with a data set, before it is trained on.
#include "data/data_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "data/panoptic.h"
#include "train/progress.h"
#include "train/sources.h"

namespace tessera {

namespace {

// A COCO file as it stands; of the other layouts the readers refuse what cannot be indexed.
CocoDataset entries_of(const std::string& annotations, const char* option) {
  if (std::filesystem::is_directory(annotations) || is_panoptic(annotations))
    return *load_data_set(annotations, option);
  return read_coco_entries(annotations);
}

struct DataCheckCommand {
  std::string annotations, val_annotations, json;
  std::filesystem::path images, val_images;
  i64 limit = 5;

  void run() {
    std::vector<DataCheck> sets;
    std::vector<std::filesystem::path> inputs, folders = {images};
    sets.emplace_back(entries_of(annotations, "--annotations"));
    if (!val_annotations.empty()) {
      sets.emplace_back(entries_of(val_annotations, "--val-annotations"));
      folders.push_back(val_images);
    }
    for (size_t i = 0; i < sets.size(); ++i) {
      inputs.emplace_back(sets[i].dataset().name);
      for (const CocoImage& image : sets[i].dataset().images) inputs.push_back(folders[i] / image.file_name);
    }
    check_outputs({json}, inputs);

    for (size_t i = 0; i < sets.size(); ++i) check(sets[i], folders[i]);
    if (sets.size() == 2) sets[1].check_against(sets[0]);
    i64 faults = 0, remarks = 0;
    for (const DataCheck& set : sets) {
      print(set);
      faults += set.faults();
      remarks += set.remarks();
    }
    fmt::print("{} faults, {} remarks\n", faults, remarks);
    if (!json.empty()) write_output(json, as_json(sets, folders));
    TESSERA_CHECK(faults == 0, "data check: {} faults, listed on standard output", faults);
  }

 private:
  static void check(DataCheck& set, const std::filesystem::path& folder) {
    Progress annotations("check annotations");
    set.check_annotations(annotations.counted());
    annotations.clear();
    Progress pictures("check pictures");
    set.check_pictures(folder, pictures.counted());
  }

  void print(const DataCheck& set) const {
    const CocoDataset& dataset = set.dataset();
    fmt::print("{}: {} pictures, {} annotations, {} classes\n", dataset.name, dataset.images.size(),
               dataset.annotations.size(), dataset.categories.size());
    for (const DefectKind& kind : kDefectKinds) {
      const std::vector<std::string>& found = set.found(kind.defect);
      if (found.empty()) continue;
      fmt::print("  {}: {} ({})\n", kind.is_fault() ? "fault" : "remark", kind.words, found.size());
      const i64 named = std::min(std::ssize(found), limit);
      for (i64 i = 0; i < named; ++i) fmt::print("    {}\n", found[static_cast<size_t>(i)]);
      if (named < std::ssize(found)) fmt::print("    and {} more\n", std::ssize(found) - named);
    }
  }

  static std::string as_json(const std::vector<DataCheck>& sets, const std::vector<std::filesystem::path>& folders) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (size_t i = 0; i < sets.size(); ++i) {
      const CocoDataset& dataset = sets[i].dataset();
      nlohmann::ordered_json faults = nlohmann::ordered_json::object(), remarks = faults;
      for (const DefectKind& kind : kDefectKinds)
        if (const std::vector<std::string>& found = sets[i].found(kind.defect); !found.empty())
          (kind.is_fault() ? faults : remarks)[kind.name] = found;
      list.push_back({{"annotations", dataset.name},
                      {"images", folders[i].string()},
                      {"image_count", dataset.images.size()},
                      {"annotation_count", dataset.annotations.size()},
                      {"class_count", dataset.categories.size()},
                      {"faults", faults},
                      {"remarks", remarks}});
    }
    // Names of files may be no UTF-8.
    return list.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
};

}  // namespace

void add_data_check(CLI::App& data) {
  CLI::App* check = data.add_subcommand(
      "check", "Decodes every picture of a data set, judges every annotation, and lists what is wrong");
  check->footer(
      "Faults, with which the command ends in 1: pictures that do not exist, cannot be read or have another size than "
      "annotated; ids that occur twice, annotations of an unknown image or category; absent, malformed and empty "
      "masks, boxes that are empty or reach out of the picture, areas that are not above 0; between two sets other "
      "categories, and pictures with the same content; a set without an object.\n"
      "Remarks: pictures with the same content within a set or with damage within a JPEG's data, absent boxes and "
      "areas, classes without objects.");
  const auto command = std::make_shared<DataCheckCommand>();
  check
      ->add_option("--annotations", command->annotations,
                   "annotation file of COCO, LVIS or COCO panoptic, or folder of Cityscapes")
      ->required();
  check->add_option("--images", command->images, "folder of its pictures")->required();
  CLI::Option* val_annotations = check->add_option("--val-annotations", command->val_annotations,
                                                   "the set to validate on, which is also held against the first");
  CLI::Option* val_images = check->add_option("--val-images", command->val_images, "folder of its pictures");
  val_annotations->needs(val_images);
  val_images->needs(val_annotations);
  check->add_option("--limit", command->limit, "how many of each kind are named; in --json all are")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  check->add_option("--json", command->json, "file for the list, as JSON");
  check->callback([command] { command->run(); });
}

}  // namespace tessera
