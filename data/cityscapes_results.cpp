#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "data/cityscapes.h"
#include "data/folder.h"
#include "data/image.h"
#include "data/json_fault.h"
#include "tensor/file.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

template <class Number>
Number parse(std::string_view text, const char* what) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  TESSERA_CHECK(error == std::errc() && end == text.data() + text.size(), "{} is expected, not \"{}\"", what, text);
  return number;
}

CityscapesDetection parse_line(std::string_view line, const fs::path& folder, const fs::path& root) {
  std::vector<std::string_view> fields;
  for (size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
    end = line.find(' ', begin);
    fields.push_back(line.substr(begin, end - begin));
  }
  TESSERA_CHECK(fields.size() == 3,
                "\"path labelID confidence\" is expected, three fields with one space between; got {}", fields.size());
  const fs::path relative(fields[0]);
  TESSERA_CHECK(!relative.empty() && relative.is_relative(), "\"{}\" is no path relative to this file", fields[0]);
  CityscapesDetection detection;
  detection.mask = (folder / relative).lexically_normal();
  const fs::path inside = detection.mask.lexically_relative(root);
  TESSERA_CHECK(!inside.empty() && *inside.begin() != "..", "\"{}\" is outside of {}", fields[0], root.string());
  TESSERA_CHECK(fs::is_regular_file(detection.mask), "there is no file {}", detection.mask.string());
  detection.label = parse<i64>(fields[1], "a label id");
  TESSERA_CHECK(find_cityscapes_label(detection.label),
                "there is no label id {} in Cityscapes (ids -1 to 33, not training ids)", detection.label);
  detection.confidence = parse<double>(fields[2], "a confidence");
  TESSERA_CHECK(std::isfinite(detection.confidence), "the confidence is {}", detection.confidence);
  return detection;
}

}  // namespace

std::vector<CityscapesDetection> load_cityscapes_results(const fs::path& text, const fs::path& root) {
  const std::string file = read_file(text);
  const std::string_view content = json::without_byte_order_mark(file);
  const fs::path folder = fs::absolute(text).parent_path(), top = fs::absolute(root).lexically_normal();
  std::vector<CityscapesDetection> detections;
  std::map<fs::path, size_t> position;
  i64 number = 0;
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    std::string_view line = content.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = end + 1;
    ++number;
    try {
      CityscapesDetection detection = parse_line(line, folder, top);
      const auto [known, added] = position.emplace(detection.mask, detections.size());
      if (added)
        detections.push_back(std::move(detection));
      else
        detections[known->second] = std::move(detection);
    } catch (const Error& error) {
      fail("{}:{}: {}", text.string(), number, error.what());
    }
  }
  return detections;
}

fs::path cityscapes_result_file(const fs::path& folder, const std::string& name) {
  return folder / (name + "_pred.txt");
}

void save_cityscapes_results(const fs::path& folder, const std::string& name, std::span<const CityscapesFound> found) {
  const fs::path text = cityscapes_result_file(folder, name);
  fs::create_directories(folder / "masks");
  fs::remove(text);
  const auto mask_file = [&](size_t k) { return fmt::format("masks/{}_{:03}.png", name, k); };
  std::string lines;
  for (size_t k = 0; k < found.size(); ++k) {
    Tensor mask = decode_rle(found[k].mask);
    for (u8& pixel : mask.span<u8>()) pixel *= 255;
    save_png(folder / mask_file(k), mask);
    lines += fmt::format("{} {} {}\n", mask_file(k), found[k].label, found[k].confidence);
  }
  for (size_t k = found.size(); fs::remove(folder / mask_file(k));) ++k;
  write_file(text, lines);
}

std::vector<fs::path> find_cityscapes_results(std::span<const CityscapesImage> images, const fs::path& root) {
  TESSERA_CHECK(fs::is_directory(root), "{}: is no folder", root.string());
  std::multimap<std::string, fs::path> texts;  // by file name, so that those of one picture are neighbours
  for (const fs::path& file : files_below(root))
    if (file.extension() == ".txt") texts.emplace(file.filename().string(), file);
  std::vector<fs::path> found;
  for (const CityscapesImage& image : images) {
    const auto text = texts.lower_bound(image.name);
    const auto is_its = [&](auto candidate) {
      return candidate != texts.end() && candidate->first.starts_with(image.name);
    };
    TESSERA_CHECK(is_its(text),
                  "{}: there is no result file {}*.txt in it or below; a picture without objects needs an empty one",
                  root.string(), image.name);
    TESSERA_CHECK(!is_its(std::next(text)), "{} and {}: two result files for one picture", text->second.string(),
                  std::next(text)->second.string());
    found.push_back(text->second);
  }
  return found;
}

Rle load_cityscapes_mask(const fs::path& png, i64 height, i64 width) {
  const Tensor grey = load_grey(png);
  TESSERA_CHECK(grey.dim(0) == height && grey.dim(1) == width,
                "{}: the mask is {} x {} (height x width), the picture {} x {}", png.string(), grey.dim(0), grey.dim(1),
                height, width);
  Tensor mask = Tensor::empty({height, width}, DType::kU8);
  std::ranges::transform(grey.span<i32>(), mask.data<u8>(), [](i32 value) { return static_cast<u8>(value != 0); });
  return encode_rle(mask);
}

}  // namespace tessera
