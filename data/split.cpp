#include "data/split.h"

#include <algorithm>
#include <map>
#include <regex>
#include <unordered_set>
#include <utility>

#include "data/json_reader.h"
#include "data/json_writer.h"
#include "data/tally.h"
#include "tensor/random.h"

namespace tessera {

namespace {

using Wanted = std::array<double, kSplitParts>;

struct Group {
  std::vector<size_t> pictures = {};
  std::map<i64, i64> objects = {};  // by class
};

std::vector<std::string> group_keys(const CocoDataset& dataset, const std::string& pattern) {
  std::vector<std::string> keys;
  Tally without;
  try {
    const std::regex expression(pattern);
    for (const CocoImage& image : dataset.images) {
      std::smatch match;
      if (std::regex_search(image.file_name, match, expression))
        keys.push_back(match[match.size() > 1 ? 1 : 0]);
      else
        without.add(image.file_name);
    }
  } catch (const std::regex_error& error) {
    fail("split: \"{}\" is no regular expression: {}", pattern, error.what());
  }
  TESSERA_CHECK(without.count == 0,
                "{}: \"{}\" is not found in the names of {} of {} pictures, whose group is unknown: {}", dataset.name,
                pattern, without.count, dataset.images.size(), without.names());
  return keys;
}

// In the order of their first pictures.
std::vector<Group> groups_of(const CocoDataset& dataset, const std::string& pattern) {
  std::vector<Group> groups;
  if (pattern.empty()) {
    for (size_t i = 0; i < dataset.images.size(); ++i) groups.push_back({{i}});
  } else {
    std::map<std::string, size_t> group_of;
    const std::vector<std::string> keys = group_keys(dataset, pattern);
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto [place, fresh] = group_of.emplace(keys[i], groups.size());
      if (fresh) groups.emplace_back();
      groups[place->second].pictures.push_back(i);
    }
  }
  for (Group& group : groups)
    for (const size_t picture : group.pictures)
      for (const i64 position : dataset.annotations_of[picture]) {
        const CocoAnnotation& annotation = dataset.annotations[static_cast<size_t>(position)];
        if (!annotation.iscrowd) ++group.objects[dataset.class_index.at(annotation.category_id)];
      }
  return groups;
}

class Stratification {
 public:
  Stratification(std::vector<Group> groups, size_t classes, const Wanted& shares)
      : groups_(std::move(groups)),
        part_of_(groups_.size(), kSplitParts),
        shares_(shares),
        groups_with_(classes),
        left_(classes),
        objects_(classes),
        groups_left_(std::ssize(groups_)) {
    i64 pictures = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      pictures += std::ssize(groups_[g].pictures);
      for (const auto& [label, count] : groups_[g].objects) {
        groups_with_[static_cast<size_t>(label)].push_back(g);
        left_[static_cast<size_t>(label)] += count;
      }
    }
    for (size_t part = 0; part < kSplitParts; ++part) {
      pictures_[part] = shares[part] * static_cast<double>(pictures);
      empty_[part] = shares[part] > 0;
      for (size_t label = 0; label < classes; ++label)
        objects_[label][part] = shares[part] * static_cast<double>(left_[label]);
    }
  }

  void run() {
    for (size_t label = rarest_class(); label < left_.size(); label = rarest_class())
      for (const size_t g : groups_with_[label])
        if (part_of_[g] == kSplitParts) assign(g, objects_[label]);
    for (size_t g = 0; g < groups_.size(); ++g)
      if (part_of_[g] == kSplitParts) assign(g, pictures_);
  }

  template <class F>
  void for_each_picture(F&& f) const {  // f(picture, its part)
    for (size_t g = 0; g < groups_.size(); ++g)
      for (const size_t picture : groups_[g].pictures) f(picture, part_of_[g]);
  }

 private:
  // Of the classes with objects in groups that have no part; their number when there is none.
  size_t rarest_class() const {
    size_t rarest = left_.size();
    for (size_t label = 0; label < left_.size(); ++label)
      if (left_[label] > 0 && (rarest == left_.size() || left_[label] < left_[rarest])) rarest = label;
    return rarest;
  }

  // To the part that wants most; where no more groups are left than parts are empty, to one of these.
  void assign(size_t g, const Wanted& wanted) {
    const bool all_needed = groups_left_-- <= std::ranges::count(empty_, true);
    size_t best = kSplitParts;
    for (size_t part = 0; part < kSplitParts; ++part) {
      if (shares_[part] <= 0 || (all_needed && !empty_[part])) continue;
      if (best == kSplitParts || std::pair(wanted[part], pictures_[part]) > std::pair(wanted[best], pictures_[best]))
        best = part;
    }
    empty_[best] = false;
    part_of_[g] = best;
    pictures_[best] -= static_cast<double>(groups_[g].pictures.size());
    for (const auto& [label, count] : groups_[g].objects) {
      left_[static_cast<size_t>(label)] -= count;
      objects_[static_cast<size_t>(label)][best] -= static_cast<double>(count);
    }
  }

  std::vector<Group> groups_;
  std::vector<size_t> part_of_;  // of each group; kSplitParts: none yet
  Wanted shares_;
  std::vector<std::vector<size_t>> groups_with_;  // with objects of each class
  std::vector<i64> left_;                         // objects of each class in groups that have no part yet
  std::vector<Wanted> objects_;                   // of each class, that the parts still want
  Wanted pictures_{};                             // that they still want
  std::array<bool, kSplitParts> empty_{};         // parts that want pictures and have none
  i64 groups_left_;                               // without a part
};

}  // namespace

Split split_data_set(const CocoDataset& dataset, const SplitConfig& config) {
  TESSERA_CHECK(config.val >= 0 && config.test >= 0 && config.val + config.test > 0 && config.val + config.test < 1,
                "split: shares of {} to validate and {} to test: none may be below 0, and together they are between 0 "
                "and 1",
                config.val, config.test);
  std::vector<Group> groups = groups_of(dataset, config.group);
  const std::array<double, kSplitParts> shares = config.shares();
  const i64 count = std::ssize(groups), parts = std::ranges::count_if(shares, [](double share) { return share > 0; });
  TESSERA_CHECK(count >= parts, "{}: {} pictures in {} groups cannot be split in {} parts: take smaller groups",
                dataset.name, dataset.images.size(), count, parts);
  Random(config.seed, stream_of("split")).shuffle(std::span(groups));
  Stratification stratification(std::move(groups), dataset.categories.size(), shares);
  stratification.run();
  Split split{std::vector<size_t>(dataset.images.size()), count};
  stratification.for_each_picture([&](size_t picture, size_t part) { split.part_of[picture] = part; });
  return split;
}

std::array<std::string, kSplitParts> split_file(const std::filesystem::path& file, const CocoDataset& dataset,
                                                const Split& split) {
  const auto part_of_annotation = [&](size_t i) {
    return split.part_of[static_cast<size_t>(dataset.image_index.at(dataset.annotations[i].image_id))];
  };
  std::array<std::string, kSplitParts> texts;
  std::unordered_set<std::string> keys;
  json::Document document(file);
  document.for_each_field([&](std::string_view key, json::Value value) {
    const char* separator = keys.empty() ? "{" : ",\n";
    TESSERA_CHECK(keys.emplace(key).second, "occurs twice");
    for (std::string& text : texts) {
      text += separator;
      json::append_string(text, key);
      text += ":";
    }
    if (key != "images" && key != "annotations") {
      const std::string_view whole = json::text_of(value);  // once: what was read cannot be read again
      for (std::string& text : texts) text += whole;
      return;
    }
    std::array<const char*, kSplitParts> before;
    before.fill("[\n");
    size_t i = 0;
    json::for_each_element(value, [&](json::Value entry) {
      const size_t part = key == "images" ? split.part_of[i] : part_of_annotation(i);
      texts[part] += std::exchange(before[part], ",\n");
      texts[part] += json::text_of(entry);
      ++i;
    });
    for (size_t part = 0; part < kSplitParts; ++part) texts[part] += before[part][0] == '[' ? "[]" : "]";
  });
  for (std::string& text : texts) text += "}\n";
  return texts;
}

}  // namespace tessera
