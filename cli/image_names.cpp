#include "cli/image_names.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>
#include <unordered_set>

#include "cli/picture.h"
#include "data/image.h"
#include "data/parallel.h"
#include "tensor/first_few.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

fs::path spelled_out(const fs::path& file) {
  return fs::absolute(file).lexically_normal();
}

bool is_below(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

bool all_different(const std::vector<std::string>& names) {
  std::unordered_set<std::string> seen;
  return std::ranges::all_of(names, [&](std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    return seen.insert(std::move(name)).second;
  });
}

// f(a/b/c), f(b/c), f(c), until one of them returns true. Backslashes are Windows' slashes.
template <class F>
void for_each_ending(std::string path, F&& f) {
  std::replace(path.begin(), path.end(), '\\', '/');
  path = fs::path(path).lexically_normal().string();
  for (size_t begin = 0; begin < path.size() && !f(path.substr(begin)); ++begin) {
    begin = path.find('/', begin);
    if (begin == std::string::npos) return;
  }
}

// The images whose file names end in the same way.
struct Fitting {
  i64 first, second = -1;  // of any more nothing is said
};

std::unordered_map<std::string, Fitting> images_by_ending(const CocoDataset& dataset) {
  std::unordered_map<std::string, Fitting> images;
  for (size_t i = 0; i < dataset.images.size(); ++i) {
    for_each_ending(dataset.images[i].file_name, [&](const std::string& ending) {
      const auto [place, first] = images.emplace(ending, Fitting{static_cast<i64>(i)});
      if (!first && place->second.second < 0) place->second.second = static_cast<i64>(i);
      return false;
    });
  }
  return images;
}

std::string describe(const CocoDataset& dataset, i64 position) {
  const CocoImage& image = dataset.images[static_cast<size_t>(position)];
  return fmt::format("{} (id {})", image.file_name, image.id);
}

std::string listed(const std::vector<std::string>& texts) {
  return first_few(texts, texts.size(), 5, "; ");
}

}  // namespace

std::vector<fs::path> below_common_folder(const std::vector<fs::path>& files) {
  std::vector<fs::path> paths;
  std::transform(files.begin(), files.end(), std::back_inserter(paths), spelled_out);
  fs::path common = paths.at(0).parent_path();
  for (const fs::path& path : paths)
    while (!is_below(path.parent_path(), common)) common = common.parent_path();
  for (fs::path& path : paths) path = path.lexically_relative(common);
  return paths;
}

std::vector<std::string> distinct_names(const std::vector<fs::path>& below) {
  std::vector<std::string> names(below.size());
  const auto tell_apart = [&](auto&& name_of) {
    std::transform(below.begin(), below.end(), names.begin(), name_of);
    return all_different(names);
  };
  if (tell_apart([](const fs::path& path) { return path.stem().string(); }) ||
      tell_apart([](const fs::path& path) { return (path.parent_path() / path.stem()).string(); }) ||
      tell_apart([](const fs::path& path) { return path.string(); }))
    return names;
  for (size_t i = 0; i < names.size(); ++i) names[i] += fmt::format("-{}", i + 1);
  return names;
}

std::vector<i64> match_images(const CocoDataset& dataset, const std::vector<fs::path>& files) {
  const std::unordered_map<std::string, Fitting> images = images_by_ending(dataset);
  std::vector<i64> positions(files.size());
  std::unordered_map<i64, size_t> taken;
  std::vector<std::string> unknown, ambiguous;
  for (size_t i = 0; i < files.size(); ++i) {
    auto found = images.end();
    for_each_ending(spelled_out(files[i]).string(), [&](const std::string& ending) {
      found = images.find(ending);
      return found != images.end();
    });
    if (found == images.end()) {
      unknown.push_back(files[i].string());
      continue;
    }
    const auto [first, second] = found->second;
    positions[i] = first;
    if (second >= 0) {
      ambiguous.push_back(fmt::format("{}: fits two images of {}, {} and {}", files[i].string(), dataset.name,
                                      describe(dataset, first), describe(dataset, second)));
    } else if (const auto [other, free] = taken.emplace(first, i); !free) {
      ambiguous.push_back(fmt::format("{} and {}: fit the same image of {}, {}", files[other->second].string(),
                                      files[i].string(), dataset.name, describe(dataset, first)));
    }
  }
  TESSERA_CHECK(unknown.empty(),
                "{}: {} has no image of this name; leave out such files, or --annotations: images are numbered then",
                listed(unknown), dataset.name);
  TESSERA_CHECK(ambiguous.empty(), "{}", listed(ambiguous));
  parallel_for(static_cast<i64>(files.size()), [&](i64 i) {
    ImageSize size;
    try {
      size = image_size(files[static_cast<size_t>(i)]);
    } catch (const Error&) {
      return;  // cannot be read: that is said in its turn, and the others go on
    }
    check_picture_size(files[static_cast<size_t>(i)], size, dataset, positions[static_cast<size_t>(i)]);
  });
  return positions;
}

}  // namespace tessera
