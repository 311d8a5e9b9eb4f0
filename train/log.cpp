#include "train/log.h"

#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tensor/error.h"
#include "tensor/file.h"

namespace tessera {

namespace {

using Json = nlohmann::ordered_json;

// The lines of `text` that belong to steps 1 .. step.
std::string lines_up_to(const std::string& text, i64 step) {
  simdjson::dom::parser parser;
  std::string kept;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    i64 line_step = 0;
    if (parser.parse(text.data() + begin, end - begin)["step"].get(line_step) == simdjson::SUCCESS && line_step <= step)
      kept.append(text, begin, end + 1 - begin);
  }
  return kept;
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
      options_(options),
      progress_("train", step, options.steps, is_terminal() && !options.quiet) {
  std::string kept;
  if (step > 0 && std::filesystem::exists(path_)) kept = lines_up_to(read_file(path_), step);
  write_file(path_, kept);
  file_.reset(std::fopen(path_.c_str(), "ae"));
  TESSERA_CHECK(file_, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
}

void Log::write(const std::string& line) {
  // One write per line: a run that is killed leaves at most its last line incomplete.
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size();
  TESSERA_CHECK(std::fflush(file_.get()) == 0 && written, "{}: cannot be written: {}", path_.string(),
                std::strerror(errno));
}

void Log::step(const StepRecord& r) {
  write(Json{{"event", "step"},
             {"step", r.step},
             {"loss", r.loss},
             {"losses", object(r.losses)},
             {"lr", r.lr},
             {"grad_norm", r.grad_norm},
             {"ms", r.milliseconds},
             {"images_per_s", r.images_per_second},
             {"memory_mb", r.memory_mb}}
            .dump() +
        "\n");
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

void Log::evaluation(i64 step, const std::vector<std::pair<std::string, Figures>>& tasks, double seconds) {
  Json line{{"event", "eval"}, {"step", step}};
  for (const auto& [task, figures] : tasks) line[task] = object(figures);
  line["seconds"] = seconds;
  write(line.dump() + "\n");
  std::string text = fmt::format("step {}:", step);
  for (const auto& [task, figures] : tasks)
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
  TESSERA_CHECK(fsync(fileno(file_.get())) == 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
}

}  // namespace tessera
