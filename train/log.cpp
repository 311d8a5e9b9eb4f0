#include "train/log.h"

#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace tessera {

namespace {

using Json = nlohmann::ordered_json;

// Calls read(line, its step, its JSON) for each whole line of a log; what is no line of ours is passed over.
template <class Read>
void for_each_line(const std::string& text, Read&& read) {
  simdjson::dom::parser parser;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    simdjson::dom::element json;
    i64 step = 0;
    if (parser.parse(text.data() + begin, end - begin).get(json) == simdjson::SUCCESS &&
        json["step"].get(step) == simdjson::SUCCESS)
      read(std::string_view(text).substr(begin, end + 1 - begin), step, json);
  }
}

Json object(const Figures& figures) {
  Json result = Json::object();
  for (const auto& [name, value] : figures) result[name] = value;
  return result;
}

std::string short_form(const StepRecord& r) {
  return fmt::format("loss {:.4f}  lr {:.2e}  {:.1f} img/s  {:.0f} MB", r.loss, r.lr, r.images_per_second, r.memory_mb);
}

}  // namespace

Log::Log(const std::filesystem::path& folder, i64 step, const Options& options)
    : path_(folder / "log.jsonl"),
      first_(step),
      options_(options),
      progress_("train", step, options.steps, is_terminal() && !options.quiet) {}

Log::~Log() {
  if (file_ >= 0) ::close(file_);
}

void Log::open() {
  const std::string before = std::filesystem::exists(path_) ? read_file(path_) : "";
  std::string kept;
  for_each_line(before, [&](std::string_view line, i64 step, const simdjson::dom::element&) {
    if (step <= first_) kept += line;
  });
  if (kept != before) write_file(path_, kept);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  TESSERA_CHECK(file_ >= 0, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  size_ = static_cast<i64>(kept.size());
}

void Log::flush() {
  if (pending_.empty()) return;
  if (file_ < 0) open();
  size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t put = ::write(file_, pending_.data() + done, pending_.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int reason = errno;
      (void)!::ftruncate(file_, size_);  // half a line is no line
      fail("{}: cannot be written: {}", path_.string(), std::strerror(reason));
    }
    done += static_cast<size_t>(put);
  }
  size_ += static_cast<i64>(done);
  pending_.clear();
}

void Log::step(const StepRecord& r) {
  const Json record{{"event", "step"},
                    {"step", r.step},
                    {"loss", r.loss},
                    {"losses", object(r.losses)},
                    {"lr", r.lr},
                    {"grad_norm", r.grad_norm},
                    {"ms", r.milliseconds},
                    {"images_per_s", r.images_per_second},
                    {"memory_mb", r.memory_mb}};
  pending_ += record.dump() + "\n";
  flush();
  if (options_.quiet) return;
  if (r.step % options_.every != 0 && r.step != 1 && r.step != options_.steps)
    return progress_.update(r.step, short_form(r));
  progress_.clear();
  if (printed_++ % 40 == 0) {
    std::string header = fmt::format("{:>8} {:>10}", "step", "loss");
    for (const auto& [name, value] : r.losses) header += fmt::format(" {:>{}}", name, std::max<size_t>(9, name.size()));
    fmt::print("{} {:>9} {:>9} {:>8} {:>7} {:>8} {:>9}\n", header, "lr", "grad_norm", "ms", "img/s", "MB", "left");
  }
  std::string line = fmt::format("{:>8} {:>10.5f}", r.step, r.loss);
  for (const auto& [name, value] : r.losses) line += fmt::format(" {:>{}.5f}", value, std::max<size_t>(9, name.size()));
  fmt::print("{} {:>9.2e} {:>9.3f} {:>8.1f} {:>7.1f} {:>8.0f} {:>9}\n", line, r.lr, r.grad_norm, r.milliseconds,
             r.images_per_second, r.memory_mb, format_duration(progress_.remaining_seconds(r.step)));
  std::fflush(stdout);
  progress_.update(r.step, short_form(r));
}

void Log::evaluation(i64 step, const Scores& scores, double seconds) {
  Json line{{"event", "eval"}, {"step", step}};
  for (const auto& [task, figures] : scores) line[task] = object(figures);
  line["seconds"] = seconds;
  pending_ += line.dump() + "\n";
  flush();
  std::string text = fmt::format("step {}:", step);
  for (const auto& [task, figures] : scores)
    for (size_t i = 0; i < std::min<size_t>(3, figures.size()); ++i)
      text += fmt::format(" {} {} {:.4f}", i == 0 ? " " + task : "", figures[i].first, figures[i].second);
  say(text + fmt::format("   ({})", format_duration(seconds)));
}

void Log::say(const std::string& text) {
  if (options_.quiet) return;
  progress_.clear();
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void Log::sync() {
  flush();
  TESSERA_CHECK(file_ < 0 || fsync(file_) == 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
}

Scores logged_evaluation(const std::filesystem::path& folder, i64 step) {
  const std::filesystem::path path = folder / "log.jsonl";
  Scores scores;
  if (!std::filesystem::exists(path)) return scores;
  for_each_line(read_file(path), [&](std::string_view, i64 line_step, const simdjson::dom::element& line) {
    std::string_view event;
    if (line_step != step || line["event"].get(event) != simdjson::SUCCESS || event != "eval") return;
    scores.clear();
    for (const auto& [task, value] : simdjson::dom::object(line)) {
      simdjson::dom::object figures;
      if (value.get(figures) != simdjson::SUCCESS) continue;  // event, step, seconds
      Figures& named = scores.emplace_back(std::string(task), Figures{}).second;
      for (const auto& [name, figure] : figures) {
        double number = 0;
        if (figure.get(number) != simdjson::SUCCESS) number = std::nan("");  // JSON has none: it was written as null
        named.emplace_back(std::string(name), number);
      }
    }
  });
  return scores;
}

}  // namespace tessera
