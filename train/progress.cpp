#include "train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tessera {

bool is_terminal() {
  return isatty(STDOUT_FILENO) == 1;
}

std::string format_duration(double seconds) {
  const i64 s = static_cast<i64>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(std::string label, i64 done, i64 total, bool terminal)
    : label_(std::move(label)), first_(done), total_(total), terminal_(terminal) {}

double Progress::remaining_seconds(i64 done) const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  return done > first_ ? elapsed / static_cast<double>(done - first_) * static_cast<double>(total_ - done) : 0;
}

void Progress::update(i64 done, const std::string& text) {
  if (!terminal_) return;
  const Clock::time_point now = Clock::now();
  if (drawn_ && (done < total_ || total_ == 0) && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  constexpr i64 kWidth = 24;
  const i64 filled = total_ > 0 ? std::clamp<i64>(kWidth * done / total_, 0, kWidth) : 0;
  std::string line =
      total_ > 0 ? fmt::format("{} [{:#<{}}{:.<{}}] {}/{}", label_, "", filled, "", kWidth - filled, done, total_)
                 : fmt::format("{} {}", label_, done);
  if (done > first_ && total_ > 0) line += fmt::format("  {} left", format_duration(remaining_seconds(done)));
  if (!text.empty()) line += "  " + text;
  winsize window{};
  // A line that wraps cannot be redrawn in place.
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
    line.resize(std::min(line.size(), static_cast<size_t>(window.ws_col - 1)));
  fmt::print("\r\x1b[K{}", line);
  std::fflush(stdout);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print("\r\x1b[K");
  std::fflush(stdout);
  drawn_ = false;
}

}  // namespace tessera
