#include "cli/findings.h"

#include "cli/cityscapes_findings.h"
#include "data/panoptic.h"
#include "tensor/file.h"
#include "train/evaluate.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

std::vector<CocoCategory> categories_of(const LoadedModel& model) {
  std::vector<CocoCategory> categories;
  for (size_t k = 0; k < model.info.classes.size(); ++k)
    categories.push_back({.id = model.info.category_ids[k],
                          .name = model.info.classes[k],
                          .isthing = static_cast<i64>(k) < model.config.model.things()});
  return categories;
}

// A field of a CSV file (RFC 4180).
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? "\"\"" : std::string(1, c);
  return field + '"';
}

class CocoFindings : public Findings {
 public:
  CocoFindings(const LoadedModel& model, const fs::path& out, bool annotated, double threshold)
      : model_(model),
        threshold_(threshold),
        results_file_(out / "results.json"),
        counts_file_(out / "counts.csv"),
        images_file_(annotated ? fs::path() : out / "images.json") {}

  std::vector<fs::path> outputs(const std::vector<std::string>& /*names*/) const override {
    return {results_file_, counts_file_, images_file_};
  }

  void add(FoundPicture picture) override {
    std::vector<i64> counts(model_.info.classes.size());
    for (const Instance& instance : picture.instances) {
      results_.push_back(to_detection(instance, picture.image.id, model_.info.category_ids));
      counts[static_cast<size_t>(instance.class_index)] += instance.score >= threshold_;
    }
    counts_ += fmt::format("{},{}\n", csv_field(picture.image.file_name), fmt::join(counts, ","));
    found_.images.push_back(std::move(picture.image));
  }

  std::string save() override {
    found_.categories = categories_of(model_);
    if (!images_file_.empty()) save_coco(images_file_, found_);
    save_results(results_file_, results_);
    std::string header = "picture";
    for (const std::string& name : model_.info.classes) header += ',' + csv_field(name);
    write_file(counts_file_, header + '\n' + counts_);
    return fmt::format("results.json ({} objects)", results_.size());
  }

 private:
  const LoadedModel& model_;
  const double threshold_;
  const fs::path results_file_, counts_file_, images_file_;  // images_file_ is empty: not to be written
  CocoDataset found_;                                        // the images that were read
  std::vector<Detection> results_;
  std::string counts_;  // lines of counts.csv
};

// Segments, whose masks are a PNG of each picture.
class PanopticFindings : public Findings {
 public:
  PanopticFindings(const LoadedModel& model, const fs::path& out)
      : model_(model),
        file_{.name = (out / "panoptic.json").string(), .folder = panoptic_folder(out / "panoptic.json")} {}

  std::vector<fs::path> outputs(const std::vector<std::string>& names) const override {
    std::vector<fs::path> files = {file_.name};
    for (const std::string& name : names) files.push_back(file_.folder / (name + ".png"));
    return files;
  }

  void begin() override { fs::remove(file_.name); }  // PNGs of this call are not under the entries of another

  void write(const FoundPicture& picture) const override {
    std::vector<Rle> masks;
    for (const Instance& segment : picture.instances) masks.push_back(segment.mask);
    const fs::path png = file_.folder / (picture.name + ".png");
    fs::create_directories(png.parent_path());
    save_segments(png, {picture.image.height, picture.image.width}, masks);
  }

  void add(FoundPicture picture) override {
    PanopticPicture& entry = file_.pictures.emplace_back();
    entry.image_id = picture.image.id;
    entry.png = picture.name + ".png";
    for (const Instance& segment : picture.instances)
      entry.segments.push_back({.id = std::ssize(entry.segments) + 1,
                                .category_id = model_.info.category_ids[static_cast<size_t>(segment.class_index)],
                                .area = static_cast<double>(rle_area(segment.mask)),
                                .bbox = segment.box});
    segments_ += std::ssize(picture.instances);
    file_.images.push_back(std::move(picture.image));
  }

  std::string save() override {
    file_.categories = categories_of(model_);
    save_panoptic(file_);
    return fmt::format("panoptic.json ({} segments)", segments_);
  }

 private:
  const LoadedModel& model_;
  PanopticFile file_;
  i64 segments_ = 0;
};

}  // namespace

std::unique_ptr<Findings> make_findings(const LoadedModel& model, const fs::path& out, const fs::path& annotations,
                                        double threshold) {
  if (model.model->finds_segments()) return std::make_unique<PanopticFindings>(model, out);
  if (fs::is_directory(annotations)) return std::make_unique<CityscapesFindings>(model, out);
  return std::make_unique<CocoFindings>(model, out, !annotations.empty(), threshold);
}

}  // namespace tessera
