#include "cli/predict_video.h"

#include <algorithm>
#include <chrono>
#include <deque>

#include "cli/measure.h"
#include "cli/output.h"
#include "cli/picture.h"
#include "cli/picture_frames.h"
#include "cli/tracks.h"
#include "data/video.h"
#include "data/workers.h"
#include "train/progress.h"
#include "train/signals.h"
#include "train/sources.h"

namespace tessera {

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::unique_ptr<VideoReader> open_input(const PredictVideoOptions& options) {
  check_outputs({options.out}, options.inputs);
  if (options.video.empty()) {
    check_outputs({options.out}, options.images);
    return std::make_unique<PictureFrames>(options.images, options.rate);
  }
  check_outputs({options.out}, {options.video});
  return open_video(options.video);
}

// The reader and the encoder have a thread each, drawing has a few, and the network runs on the thread of the call.
class VideoPrediction {
 public:
  VideoPrediction(const LoadedModel& model, const PredictVideoOptions& options)
      : model_(model),
        options_(options),
        name_(options.video.empty() ? "the frames" : options.video.string()),
        reader_(open_input(options)),
        drawing_(worker_count()),
        reading_(1),
        writing_(1) {
    VideoFormat format = reader_->format();
    format.size = drawn_size(format.size);
    if (options.out.has_parent_path()) std::filesystem::create_directories(options.out.parent_path());
    writer_ = create_video(options.out, format, options.encoder);
    const std::string left_out = reader_->left_out();
    if (!left_out.empty()) fmt::print(stderr, "tessera: {}: left out: {}\n", name_, left_out);
  }

  int run() {
    const SignalGuard signals;
    const i64 limit = options_.limit > 0 ? options_.limit : INT64_MAX, count = reader_->frame_count();
    Progress progress("predict", 0, count > 0 ? std::min(limit, count) : options_.limit);
    const Clock::time_point start = Clock::now();
    std::exception_ptr failure;  // of a frame, after which no other is read
    for (i64 next = 0; next < limit && !SignalGuard::received(); ++next) {
      try {
        std::optional<Read> frame = read();
        if (!frame) break;
        process(std::move(*frame));
      } catch (const std::exception&) {
        failure = std::current_exception();
        break;
      }
      while (under_way_.size() > 2 * drawing_.size()) finish_one(progress);
    }
    while (!under_way_.empty()) finish_one(progress);
    progress.clear();
    for (; !ahead_.empty(); ahead_.pop_front()) ahead_.front().wait();  // the reader is at rest from here on
    if (!latencies_.empty()) save(milliseconds(Clock::now() - start) / 1000);
    if (failure) std::rethrow_exception(failure);
    if (SignalGuard::received()) {
      fmt::print(stderr, "tessera: predict: stopped after {} frames\n", latencies_.size());
      return SignalGuard::received();
    }
    if (std::ssize(latencies_) == limit) return 0;
    const std::string damage = reader_->damage();
    TESSERA_CHECK(!latencies_.empty(), "{}: no frame could be read{}{}", name_, damage.empty() ? "" : ": ", damage);
    TESSERA_CHECK(damage.empty(), "{}: {}; what could be read is in {}", name_, damage, options_.out.string());
    return 0;
  }

 private:
  static constexpr size_t kAhead = 2;  // frames that are read or being read

  struct Read {
    VideoFrame frame;
    Clock::time_point when;
  };

  std::optional<Read> read() {
    while (ahead_.size() < kAhead)
      ahead_.push_back(reading_.add([this]() -> std::optional<Read> {
        std::optional<VideoFrame> frame = reader_->next();
        if (!frame) return std::nullopt;
        return Read{std::move(*frame), Clock::now()};
      }));
    std::future<std::optional<Read>> next = std::move(ahead_.front());
    ahead_.pop_front();
    return next.get();
  }

  void process(Read read) {
    std::vector<Instance> objects = model_.model->detect(inference_batch(read.frame.image, model_.config)).at(0);
    erase_no_objects(objects, *model_.model);
    std::erase_if(objects, [&](const Instance& object) { return object.score < options_.threshold; });
    std::vector<i64> colours = tracks_.follow(objects);
    std::future<Tensor> drawn =
        drawing_.add([this, image = read.frame.image, objects = std::move(objects), colours = std::move(colours)] {
          return draw_instances(image, objects, model_.info.classes, Label::kNameAndScore, colours);
        });
    under_way_.push_back(
        writing_.add([this, drawn = std::move(drawn), time = read.frame.time, when = read.when]() mutable {
          writer_->write({drawn.get(), time});
          return milliseconds(Clock::now() - when);
        }));
  }

  void finish_one(Progress& progress) {
    latencies_.push_back(under_way_.front().get());
    under_way_.pop_front();
    progress.update(std::ssize(latencies_));
  }

  void save(double seconds) {
    writer_->finish();
    const Percentiles latency = percentiles(latencies_);
    fmt::print("{} frames in {}: {:.1f} per second, latency {:.0f} ms (median), {:.0f} ms (99 % of the frames)\n",
               latencies_.size(), options_.out.string(), static_cast<double>(latencies_.size()) / seconds,
               latency.median, latency.p99);
  }

  const LoadedModel& model_;
  const PredictVideoOptions& options_;
  const std::string name_;
  std::unique_ptr<VideoReader> reader_;
  std::unique_ptr<VideoWriter> writer_;
  Tracks tracks_;
  std::vector<double> latencies_;        // of the frames that were written, in milliseconds
  Workers drawing_, reading_, writing_;  // behind what their threads use
  std::deque<std::future<std::optional<Read>>> ahead_;
  std::deque<std::future<double>> under_way_;
};

}  // namespace

int predict_video(const LoadedModel& model, const PredictVideoOptions& options) {
  return VideoPrediction(model, options).run();
}

}  // namespace tessera
