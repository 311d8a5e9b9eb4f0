#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "data/cityscapes.h"
#include "data/folder.h"
#include "data/shapes_files.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

// Of each shape its labels by filling: stripes, gradient, blotches. The last is a caravan, which is no class of the
// task and not ignored either.
constexpr i64 kLabels[3][3] = {{24, 25, 26}, {27, 28, 31}, {32, 33, 29}};
constexpr i64 kGroundLabels[] = {7, 21, 4};  // road, vegetation; static, which is ignored
constexpr double kGroups = 0.1;              // share of the objects

struct Split {
  const char* name;
  ShapesSplit split;
  i64 count;
  std::array<const char*, 2> cities;

  std::string city(i64 index) const { return cities[static_cast<size_t>(index % 2)]; }
  std::string picture(i64 index) const { return fmt::format("{}_{:06}_000019", city(index), index); }
};

// Pixels of label ids with the objects' numbers, as an instanceIds.png has them: i32 [H, W].
Tensor instance_ids(const ShapesPicture& picture, Random& random) {
  std::vector<i32> values = {static_cast<i32>(kGroundLabels[picture.ground])};
  i64 numbers[3][3] = {};
  for (size_t k = 0; k < picture.classes.size(); ++k) {
    const i64 shape = picture.classes[k], filling = picture.filling[k];
    const i64 label = kLabels[shape][filling];
    const bool group = random.chance(kGroups);
    values.push_back(static_cast<i32>(group ? label : 1000 * label + numbers[shape][filling]++));
  }
  Tensor ids = Tensor::empty(picture.owners.shape(), DType::kI32);
  std::ranges::transform(picture.owners.span<u8>(), ids.data<i32>(), [&](u8 owner) { return values[owner]; });
  return ids;
}

Tensor label_ids(const Tensor& instances) {
  Tensor labels = Tensor::empty(instances.shape(), DType::kU8);
  std::ranges::transform(instances.span<i32>(), labels.data<u8>(),
                         [](i32 value) { return static_cast<u8>(value < 1000 ? value : value / 1000); });
  return labels;
}

// What is there besides would be read with what is written.
void check_folder(const fs::path& labels, const Split& split) {
  if (!fs::is_directory(labels)) return;
  std::set<std::string> ours;
  for (i64 index = 0; index < split.count; ++index) ours.insert(split.picture(index));
  for (const fs::path& path : files_below(labels)) {
    const std::string file = path.filename().string();
    TESSERA_CHECK(!file.ends_with(kCityscapesInstances) ||
                      ours.contains(file.substr(0, file.size() - kCityscapesInstances.size())),
                  "{}: is there already, and would be one of the data set; name another folder", path.string());
  }
}

}  // namespace

void generate_cityscapes_shapes(const ShapesConfig& config, const Counted& counted) {
  const Split splits[] = {{"train", ShapesSplit::kTrain, config.train, {"northtown", "southtown"}},
                          {"val", ShapesSplit::kVal, config.val, {"easttown", "westtown"}}};
  for (const Split& split : splits) check_folder(config.dir / "gtFine" / split.name, split);
  i64 done = 0;
  for (const Split& split : splits)
    for (i64 index = 0; index < split.count; ++index) {
      const auto folder = [&](const char* top) {
        const fs::path path = config.dir / top / split.name / split.city(index);
        fs::create_directories(path);
        return path;
      };
      const fs::path images = folder("leftImg8bit"), truth = folder("gtFine");
      const auto named = [&](std::string_view ending) { return fmt::format("{}{}", split.picture(index), ending); };
      const fs::path instances = truth / named(kCityscapesInstances), labels = truth / named(kCityscapesLabels);
      const ShapesPicture picture = draw_shapes(config, split.split, index);
      Random random(config.seed, stream_of("shapes groups", {static_cast<u64>(split.split), static_cast<u64>(index)}));
      const Tensor ids = instance_ids(picture, random);
      replace_picture(images / named(kCityscapesPicture), encode_png(picture.image), {instances, labels});
      save_png(instances, ids);
      save_png(labels, label_ids(ids));
      if (counted) counted(++done, config.train + config.val);
    }
}

}  // namespace tessera
