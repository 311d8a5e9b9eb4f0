#include "bench/results.h"

#include <fmt/core.h>

#include "tensor/file.h"

namespace tessera::bench {

namespace {

std::string number(double value, int decimals) {
  return value > 0 ? fmt::format("{:.{}f}", value, decimals) : "-";
}

std::string milliseconds(double ms) {
  return number(ms, ms < 10 ? 3 : ms < 1000 ? 1 : 0);
}

}  // namespace

void Results::begin(int threads, double operations, double bytes) {
  peaks_[std::to_string(threads)] = {{"fma_gflops", operations * 1e-9}, {"copy_gbs", bytes * 1e-9}};
  const std::string where = machine_.device == "cpu" ? fmt::format("{} thread{} of {}, SIMD level {}", threads,
                                                                   threads == 1 ? "" : "s", machine_.cpu, machine_.simd)
                                                     : machine_.device;
  fmt::print("\n{}, precision {}: {} {:.0f} GFLOP/s, copy {:.1f} GB/s; beside {}\n", where, machine_.precision,
             machine_.device == "cpu" ? "FMA peak" : "a large product reaches", operations * 1e-9, bytes * 1e-9,
             machine_.peer.empty() ? "nothing" : machine_.peer);
  group_.clear();
}

void Results::head(const std::string& group) {
  if (group == group_) return;
  group_ = group;
  fmt::print("\n{:<48}{:>10}{:>10}{:>8}{:>10}{:>8}{:>9}{:>9}\n", group, "ms", "peer ms", "ratio", "GFLOP/s", "% peak",
             "MB", "peer MB");
}

void Results::add(Line line) {
  head(line.group);
  const std::string speed = line.gflops > 0 ? number(line.gflops, 1) : line.gbs > 0 ? number(line.gbs, 1) + "B" : "-";
  fmt::print("{:<48}{:>10}{:>10}{:>8}{:>10}{:>8}{:>9}{:>9}{}\n", line.name, milliseconds(line.ms),
             milliseconds(line.peer_ms), number(line.ratio, line.ratio < 0.1 ? 3 : 2), speed, number(line.percent, 0),
             number(line.mb, 1), number(line.peer_mb, 1), line.disturbed ? "  disturbed" : "");
  std::fflush(stdout);
  lines_.push_back(std::move(line));
}

void Results::note(const std::string& text) {
  if (notes_.insert(text).second) fmt::print("{}\n", text);
}

void Results::write(const std::string& path) const {
  Json lines = Json::array();
  for (const Line& line : lines_) {
    Json entry = {{"group", line.group}, {"name", line.name}, {"threads", line.threads}};
    const auto put = [&](const char* key, double value) {
      if (value > 0) entry[key] = value;
    };
    put("ms", line.ms);
    put("peer_ms", line.peer_ms);
    put("ratio", line.ratio);
    put("noise", line.noise);
    put("ratio_noise", line.ratio_noise);
    put("gflops", line.gflops);
    put("gbs", line.gbs);
    put("percent_of_peak", line.percent);
    put("mb", line.mb);
    put("peer_mb", line.peer_mb);
    if (line.disturbed) entry["disturbed"] = true;
    lines.push_back(std::move(entry));
  }
  const Json all = {
      {"cpu", machine_.cpu},   {"cores", machine_.cores},   {"simd", machine_.simd}, {"precision", machine_.precision},
      {"peer", machine_.peer}, {"device", machine_.device}, {"peaks", peaks_},       {"lines", lines}};
  write_file(path, all.dump(1) + "\n");
}

}  // namespace tessera::bench
