#include "cli/predict.h"

#include <omp.h>
#include <simdjson.h>

#include <algorithm>
#include <deque>
#include <memory>

#include "cli/activation_maps.h"
#include "cli/findings.h"
#include "cli/image_files.h"
#include "cli/image_names.h"
#include "cli/mask_stages.h"
#include "cli/output.h"
#include "cli/picture.h"
#include "data/cityscapes.h"
#include "data/draw.h"
#include "data/image.h"
#include "data/workers.h"
#include "train/progress.h"
#include "train/signals.h"
#include "train/sources.h"

namespace tessera {

namespace {

namespace fs = std::filesystem;

// Pictures on their way through a call: read ahead of the network, which runs on the thread of the call, drawn and
// written behind it. So many are read or being read, and so many found in and not written, for each worker.
constexpr size_t kAhead = 1, kBehind = 2;

class Prediction {
 public:
  // Everything that can be wrong with the call is found here.
  Prediction(const LoadedModel& model, const PredictOptions& options)
      : model_(model),
        options_(options),
        files_(options.images),
        below_(below_common_folder(files_)),
        annotated_(!options.annotations.empty()),
        names_(distinct_names(below_)),
        findings_(make_findings(model, out_, options.annotations, options.threshold)),
        workers_(worker_count()) {
    if (annotated_) {
      truth_ = fs::is_directory(options_.annotations) ? load_cityscapes(options_.annotations)
                                                      : load_image_list(options_.annotations);
      positions_ = match_images(truth_, files_);
    } else {
      for (const fs::path& path : below_)
        TESSERA_CHECK(simdjson::validate_utf8(path.string()),
                      "{}: the name is not UTF-8, and images.json could not hold it; rename the file", path.string());
    }
    check_paths();
  }

  int run() {
    const SignalGuard signals;
    FailedImages failed;
    Progress progress("predict", 0, std::ssize(files_));
    for (size_t next = 0; next < files_.size() && !SignalGuard::received(); ++next) {
      find(next);
      while (behind_.size() > kBehind * workers_.size()) finish(failed, progress);
    }
    while (!behind_.empty()) finish(failed, progress);
    progress.clear();
    // Where nothing could be read there is nothing to replace the results of an earlier call with.
    if (in_results_ > 0) save(done_ - failed.count());
    if (SignalGuard::received()) {
      fmt::print(stderr, "tessera: predict: stopped after {} of {} images\n", done_, files_.size());
      return SignalGuard::received();
    }
    failed.check(std::ssize(files_));
    return 0;
  }

 private:
  struct Picture {
    size_t i;  // of files_
    Tensor image = {};
    FoundPicture found = {};
    std::optional<ActivationMaps> maps = {};
    std::optional<MaskStages> stages = {};
    bool in_results = false;  // else an error came before it could be
    std::future<void> written = {};
  };

  fs::path drawn(size_t i) const { return out_ / (names_[i] + ".png"); }
  fs::path drawn_map(size_t i, i64 map) const { return out_ / fmt::format("{}-map{:02}.png", names_[i], map); }
  fs::path drawn_stages(size_t i, i64 k) const { return out_ / fmt::format("{}-stages{:02}.png", names_[i], k); }

  void check_paths() const {
    TESSERA_CHECK(!fs::exists(out_) || fs::is_directory(out_), "{}: is a file, --out is a folder", out_.string());
    std::vector<fs::path> outputs = findings_->outputs(names_), inputs = files_;
    if (options_.maps) check_activation_maps(*model_.model, "predict --maps");
    if (options_.stages) check_mask_stages(*model_.model, "predict --stages");
    const i64 maps = options_.maps ? model_.model->activation_map_count() : 0;
    const std::optional<Segmenter::Limit> limit = model_.model->object_limit();
    const i64 staged = options_.stages && limit ? limit->objects : 0;
    for (size_t i = 0; i < files_.size(); ++i) {
      outputs.push_back(drawn(i));
      for (i64 map = 0; map < maps; ++map) outputs.push_back(drawn_map(i, map));
      for (i64 k = 0; k < staged; ++k) outputs.push_back(drawn_stages(i, k));
    }
    inputs.insert(inputs.end(), options_.inputs.begin(), options_.inputs.end());
    inputs.push_back(options_.annotations);
    check_outputs(outputs, inputs);
  }

  // The next file's picture.
  Tensor read() {
    while (read_ < files_.size() && ahead_.size() <= kAhead * workers_.size())
      ahead_.push_back(workers_.add([&file = files_[read_++]] { return load_image(file); }));
    std::future<Tensor> image = std::move(ahead_.front());
    ahead_.pop_front();
    return image.get();
  }

  // Finds the objects of the next file, and has them written.
  void find(size_t i) {
    Picture& picture = behind_.emplace_back(Picture{.i = i});
    try {
      picture.image = read();
      detect(picture);
      if (!std::exchange(begun_, true)) findings_->begin();
      picture.written = workers_.add([this, &picture] { write(picture); });
    } catch (...) {
      std::promise<void> failed;
      failed.set_exception(std::current_exception());
      picture.written = failed.get_future();
    }
  }

  void detect(Picture& picture) {
    const size_t i = picture.i;
    const ImageSize size{picture.image.dim(0), picture.image.dim(1)};
    if (annotated_) check_picture_size(files_[i], size, truth_, positions_[i]);
    const Batch batch = inference_batch(picture.image, model_.config);
    std::vector<Instance> instances = model_.model->detect(batch).at(0);
    if (!findings_->takes_all()) erase_no_objects(instances, *model_.model);
    picture.found = {annotated_ ? truth_.images[static_cast<size_t>(positions_[i])]
                                : CocoImage{static_cast<i64>(i) + 1, below_[i].string(), size.height, size.width},
                     names_[i], std::move(instances)};
    if (options_.maps) picture.maps.emplace(*model_.model, batch);
    if (!options_.stages) return;
    const std::vector<MaskStages::Cells>& cells = picture.stages.emplace(*model_.model, batch).cells();
    cells_.resize(cells.size());
    for (size_t s = 0; s < cells_.size(); ++s) cells_[s] += cells[s];
  }

  // On a thread of workers_.
  void write(Picture& picture) const {
    findings_->write(picture.found);
    picture.in_results = true;  // a picture that cannot be drawn does not take its results along
    std::vector<Instance> instances = picture.found.instances;
    erase_no_objects(instances, *model_.model);
    std::stable_sort(instances.begin(), instances.end(),
                     [](const Instance& a, const Instance& b) { return a.score > b.score; });
    std::erase_if(instances, [&](const Instance& instance) { return instance.score < options_.threshold; });
    const std::vector<std::string>& classes = model_.info.classes;
    const Tensor& image = picture.image;
    const size_t i = picture.i;
    write_output(drawn(i),
                 encode_png(truth_.annotations.empty()
                                ? draw_instances(image, instances, classes, Label::kNameAndScore)
                                : draw_annotated_and_found(image, truth_, positions_[i], instances, classes)));
    for (i64 k = 0; k < std::ssize(instances); ++k) {
      const i64 query = instances[static_cast<size_t>(k)].query;
      if (picture.stages) write_output(drawn_stages(i, k), encode_png(picture.stages->picture(image, query)));
      if (picture.maps)
        write_output(drawn_map(i, k),
                     encode_png(heat_map(image, picture.maps->map(query, {image.dim(0), image.dim(1)}))));
    }
  }

  // Waits for the oldest of the pictures that are under way.
  void finish(FailedImages& failed, Progress& progress) {
    Picture& picture = behind_.front();
    try {
      picture.written.get();
    } catch (const std::exception& error) {
      progress.clear();
      failed.add(files_[picture.i], error);
    }
    if (picture.in_results) {
      findings_->add(std::move(picture.found));
      ++in_results_;
    }
    progress.update(++done_, files_[picture.i].filename().string());
    behind_.pop_front();
  }

  void save(i64 pictures) {
    fs::create_directories(out_);
    fmt::print("{} pictures and {} in {}\n", pictures, findings_->save(), options_.out);
    for (const MaskStages::Cells& cells : cells_)
      fmt::print("{}{} x {} cells: {:.1f} % active", &cells == cells_.data() ? "" : ", ", cells.size, cells.size,
                 100 * cells.share());
    if (!cells_.empty()) fmt::print(" (of all boxes)\n");
  }

  const LoadedModel& model_;
  const PredictOptions& options_;
  const fs::path out_ = options_.out;
  const std::vector<fs::path> files_, below_;  // as given, and below the folder that holds all of them
  const bool annotated_;
  const std::vector<std::string> names_;  // of the pictures to write
  CocoDataset truth_;                     // of --annotations
  std::vector<i64> positions_;            // of each file in it
  const std::unique_ptr<Findings> findings_;
  std::vector<MaskStages::Cells> cells_;  // of --stages, of all pictures
  bool begun_ = false;                    // findings_
  i64 done_ = 0, in_results_ = 0;         // pictures
  size_t read_ = 0;                       // files that were given to be read
  std::deque<std::future<Tensor>> ahead_;
  std::deque<Picture> behind_;
  Workers workers_;  // the last: its threads use the others
};

}  // namespace

int worker_count() {
  constexpr int kMost = 8;  // each holds some pictures, and no network is that fast
  return std::min(omp_get_max_threads(), kMost);
}

void erase_no_objects(std::vector<Instance>& found, const Segmenter& model) {
  const double least = model.score_threshold();
  std::erase_if(found, [&](const Instance& instance) {
    return instance.score <= least || (instance.has_mask() && rle_area(instance.mask) == 0);
  });
}

int predict(const LoadedModel& model, const PredictOptions& options) {
  return Prediction(model, options).run();
}

}  // namespace tessera
