// Two files of results, line by line.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "bench/bench.h"
#include "data/json_reader.h"

namespace tessera::bench {

namespace {

struct Figures {
  std::string key;
  double ms = 0, ratio = 0, noise = 0, mb = 0;
};

std::vector<Figures> read_lines(const std::string& path) {
  std::vector<Figures> lines;
  json::Document(path).for_each_field([&](std::string_view field, json::Value value) {
    if (field != "lines") return;
    json::for_each_element(value, [&](json::Value element) {
      Figures& line = lines.emplace_back();
      std::string group, name, threads;
      json::for_each_field(element, [&](std::string_view key, json::Value entry) {
        if (key == "group") group = json::read_string(entry);
        if (key == "name") name = json::read_string(entry);
        if (key == "threads") threads = std::to_string(json::read_integer(entry));
        if (key == "ms") line.ms = json::read_number(entry);
        if (key == "ratio") line.ratio = json::read_number(entry);
        if (key == "noise") line.noise = json::read_number(entry);
        if (key == "mb") line.mb = json::read_number(entry);
      });
      line.key = group + "/" + name + " x" + threads;
    });
  });
  TESSERA_CHECK(!lines.empty(), "{}: no lines; a file of `--json` is expected", path);
  return lines;
}

// How much slower, as a share of before. With a peer in both files our time and the ratio to the peer must agree, and
// the smaller change is taken: a machine with another clock moves the time alone, a disturbed peer the ratio alone.
double change_of(const Figures& before, const Figures& now) {
  const double time = now.ms / before.ms - 1;
  if (before.ratio <= 0 || now.ratio <= 0) return time;
  const double ratio = now.ratio / before.ratio - 1;
  if (time * ratio <= 0) return 0;
  return std::abs(time) < std::abs(ratio) ? time : ratio;
}

}  // namespace

// A change counts when it exceeds the threshold and the noise of both measurements together.
int compare(const std::string& before, const std::string& after, double threshold) {
  const std::vector<Figures> old_lines = read_lines(before), new_lines = read_lines(after);
  fmt::print("{:<64}{:>10}{:>10}{:>9}{:>9}\n", "", "before ms", "after ms", "change", "memory");
  int slower = 0, faster = 0, same = 0;
  for (const Figures& now : new_lines) {
    const auto found = std::ranges::find(old_lines, now.key, &Figures::key);
    if (found == old_lines.end() || found->ms <= 0 || now.ms <= 0) {
      fmt::print("{:<64}{:>10}{:>10}\n", now.key, "-", now.ms > 0 ? fmt::format("{:.3f}", now.ms) : "-");
      continue;
    }
    const double change = change_of(*found, now), noise = found->noise + now.noise;
    const double memory = found->mb > 0 && now.mb > 0 ? now.mb / found->mb - 1 : 0;
    const bool counts = std::abs(change) > std::max(threshold, noise);
    ++(!counts ? same : change > 0 ? slower : faster);
    fmt::print("{:<64}{:>10.3f}{:>10.3f}{:>+8.1f}%{:>+8.0f}%{}\n", now.key, found->ms, now.ms, 100 * change,
               100 * memory,
               !counts      ? ""
               : change > 0 ? "  slower"
                            : "  faster");
  }
  for (const Figures& old : old_lines)
    if (std::ranges::find(new_lines, old.key, &Figures::key) == new_lines.end())
      fmt::print("{:<64}{:>10.3f}{:>10}\n", old.key, old.ms, "gone");
  fmt::print("{} faster, {} slower, {} within {:.0f} % or the noise of their measurements\n", faster, slower, same,
             100 * threshold);
  return slower;
}

}  // namespace tessera::bench
