// tessera data split: one annotation file in parts, to train on, to validate on and to test on.
#include <fmt/core.h>

#include <deque>
#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "data/panoptic.h"
#include "data/split.h"
#include "tensor/file.h"

namespace tessera {

namespace {

struct DataSplitCommand {
  std::string annotations;
  std::filesystem::path out;
  SplitConfig config;
  bool overwrite = false;

  void run() const {
    std::vector<std::filesystem::path> files;
    for (const char* name : kSplitNames) files.push_back(out / fmt::format("instances_{}.json", name));
    check_outputs(files, {annotations});
    for (const std::filesystem::path& file : files)
      TESSERA_CHECK(overwrite || !std::filesystem::exists(file),
                    "data split: {} is there already; --overwrite puts the new split in the place of the old one",
                    file.string());
    TESSERA_CHECK(!std::filesystem::is_directory(annotations) && !is_panoptic(annotations),
                  "data split: {} is no file of instances; only these, COCO's and LVIS's, can be split", annotations);
    const CocoDataset dataset = load_coco(annotations);
    const Split split = split_data_set(dataset, config);
    const std::array<std::string, kSplitParts> texts = split_file(annotations, dataset, split);
    std::filesystem::create_directories(out);
    std::deque<AtomicFile> written;  // all of them before the first takes its place: parts of two splits share pictures
    for (size_t part = 0; part < kSplitParts; ++part)
      if (config.shares()[part] > 0) written.emplace_back(files[part]).write(texts[part].data(), texts[part].size());
    for (AtomicFile& file : written) file.commit();
    for (size_t part = 0; part < kSplitParts; ++part)
      if (config.shares()[part] <= 0) std::filesystem::remove(files[part]);  // of the old split
    print(dataset, split);
  }

 private:
  using Counts = std::array<i64, kSplitParts>;

  void print(const CocoDataset& dataset, const Split& split) const {
    Counts pictures{}, objects{};
    std::vector<Counts> objects_of(dataset.categories.size());
    for (size_t i = 0; i < dataset.images.size(); ++i) {
      ++pictures[split.part_of[i]];
      for (const i64 position : dataset.annotations_of[i]) {
        const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
        if (annotation.iscrowd) continue;
        ++objects[split.part_of[i]];
        ++objects_of[static_cast<size_t>(dataset.class_index.at(annotation.category_id))][split.part_of[i]];
      }
    }
    fmt::print("{:<24} {:>8}", out.string(), "all");
    for (size_t part = 0; part < kSplitParts; ++part)
      if (config.shares()[part] > 0) fmt::print(" {:>17}", kSplitNames[part]);
    fmt::print("\n");
    print_row("pictures", pictures);
    if (!config.group.empty()) fmt::print("{:<24} {:>8}\n", "groups of pictures", split.groups);
    print_row("objects", objects);
    for (size_t k = 0; k < objects_of.size(); ++k) print_row("  " + dataset.categories[k].name, objects_of[k]);
  }

  void print_row(const std::string& name, const Counts& counts) const {
    const i64 all = counts[0] + counts[1] + counts[2];
    fmt::print("{:<24} {:>8}", name, all);
    for (size_t part = 0; part < kSplitParts; ++part) {
      if (config.shares()[part] <= 0) continue;
      const double share = all > 0 ? 100 * static_cast<double>(counts[part]) / static_cast<double>(all) : 0;
      fmt::print(" {:>8} ({:4.1f} %)", counts[part], share);
    }
    fmt::print("\n");
  }
};

}  // namespace

void add_data_split(CLI::App& data) {
  CLI::App* split = data.add_subcommand(
      "split",
      "Splits an annotation file by pictures into one to train on and others to validate and to test on, so that each "
      "class has its share of objects in each. The pictures stay where they are.");
  const auto command = std::make_shared<DataSplitCommand>();
  split->add_option("--annotations", command->annotations, "annotation file of COCO or LVIS")->required();
  split
      ->add_option("--out", command->out,
                   "folder for instances_train.json, instances_val.json and, with --test, instances_test.json")
      ->required();
  split->add_option("--val", command->config.val, "share to validate on")->capture_default_str();
  split->add_option("--test", command->config.test, "share to test on")->capture_default_str();
  split->add_option("--seed", command->config.seed, "another seed, another split")->capture_default_str();
  split->add_option("--group", command->config.group,
                    "regular expression: pictures in whose file_name its first (...) finds the same stay together; "
                    "'(.*)_' is the name up to the last _");
  split->add_flag("--overwrite", command->overwrite, "put the split in the place of one that is in the folder");
  split->callback([command] { command->run(); });
}

}  // namespace tessera
