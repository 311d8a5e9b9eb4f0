// Runs the cases, ours and the peer's in turn.
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <thread>

#include "bench/bench.h"
#include "bench/peer.h"
#include "bench/results.h"
#include "ops/cpu/simd/simd_table.h"
#include "ops/kernel_table.h"
#include "ops/precision.h"
#include "ops/work.h"
#include "tensor/allocator.h"
#include "train/progress.h"

namespace tessera::bench {

namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "an unknown processor";
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

double median(const std::vector<double>& values) {
  return quantile(values, 0.5);
}

double noise(const std::vector<double>& values) {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / median(values);
}

class Counter : private WorkListener {
 public:
  double operations() const { return 2 * static_cast<double>(multiply_adds_); }

 private:
  void ran(const char*, const Work& work, const Shape&) override { multiply_adds_ += work.multiply_adds; }
  i64 multiply_adds_ = 0;
};

// One call and one of the peer, as far as they are there.
class Pair {
 public:
  Pair(const Case& one, int threads, Peer* peer) : threads_(threads) {
    if (one.make) {
      give_memory_back();
      const bool on_cpu = device() == Device{};
      const double before = on_cpu ? resident_mb() : static_cast<double>(memory_report(device()).allocated) * 1e-6;
      ours_ = one.make();
      reset_peak_resident();
      reset_peak(device());
      {
        const Counter counter;
        ours_();
        operations_ = one.counted ? counter.operations() : one.operations;
      }
      ours_();
      const double peak = on_cpu ? peak_resident_mb() : static_cast<double>(memory_report(device()).peak) * 1e-6;
      mb_ = std::max(0.1, peak - before);
    }
    if (peer && !one.peer.empty() && peer->make(one.peer, why_)) {
      peer_ = peer;
      peer_mb_ = std::max(0.1, peer->peak_mb().value_or(0));
    }
  }

  Line measure(int rounds) {
    std::vector<double> ours, peers, ratios;
    Line line;
    line.threads = threads_;
    line.mb = mb_;
    line.peer_mb = peer_mb_;
    // With one thread every round counts. With more a round counts when other programs left the machine alone; if that
    // is too seldom, all count and the line says so.
    for (const bool strict : {threads_ > 1, false}) {
      line.disturbed = threads_ > 1 && !strict;
      for (int attempt = 0; static_cast<int>(count(ours, peers)) < rounds && attempt < 3 * rounds; ++attempt) {
        const double busy = machine_busy_seconds();
        const Sample a = ours_ ? take_sample(ours_, seconds()) : Sample();
        const Sample b = peer_ ? peer_->sample(seconds()).value_or(Sample()) : Sample();
        if (a.calls + b.calls == 0) return line;  // the peer alone, and it died
        const double own = a.cpu + b.cpu, wall = a.wall + b.wall;
        if (strict && machine_busy_seconds() - busy - own > 0.1 * wall + 0.02) continue;  // 0.02: the system's clock
        if (a.calls > 0) ours.push_back(a.seconds(threads_));
        if (b.calls > 0) peers.push_back(b.seconds(threads_));
        if (a.calls > 0 && b.calls > 0) ratios.push_back(ours.back() / peers.back());
      }
      if (static_cast<int>(count(ours, peers)) >= rounds) break;
    }
    if (!ours.empty()) line.ms = median(ours) * 1e3, line.noise = noise(ours);
    if (!peers.empty()) line.peer_ms = median(peers) * 1e3;
    if (!ratios.empty()) line.ratio = median(ratios), line.ratio_noise = noise(ratios);
    return line;
  }

  double operations() const { return operations_; }
  const std::string& why_no_peer() const { return why_; }

 private:
  static size_t count(const std::vector<double>& ours, const std::vector<double>& peers) {
    return std::max(ours.size(), peers.size());
  }
  double seconds() const { return threads_ == 1 ? 0.05 : 0.15; }  // of one sample; the system counts in hundredths

  int threads_;
  Call ours_;
  Peer* peer_ = nullptr;
  std::string why_;
  double mb_ = 0, peer_mb_ = 0, operations_ = 0;
};

struct Peaks {
  double operations, bytes;
};

void set_speed(Line& line, double operations, double bytes, const Peaks& peaks) {
  if (line.ms <= 0) return;
  const double seconds = line.ms * 1e-3;
  if (operations > 0) {
    line.gflops = operations / seconds * 1e-9;
    line.percent = 100 * operations / seconds / peaks.operations;
  } else if (bytes > 0) {
    line.gbs = bytes / seconds * 1e-9;
    line.percent = 100 * bytes / seconds / peaks.bytes;
  }
}

// The lines of one group that are added up under one name.
struct Sum {
  Line line;
  double operations = 0;
  bool ours = true, peer = true;
  bool whole = true;  // no case was left out

  void add(const Case& one, const Line& part) {
    line.ms += one.times * part.ms;
    line.peer_ms += one.times * part.peer_ms;
    line.noise = std::max(line.noise, part.noise);
    line.ratio_noise = std::max(line.ratio_noise, part.ratio_noise);
    line.disturbed |= part.disturbed;
    operations += one.times * one.operations;
    ours &= part.ms > 0;
    peer &= part.peer_ms > 0;
  }
};

// whole: no case of the group was filtered out.
void run_group(const std::vector<const Case*>& cases, bool whole, const Options& options, int threads,
               const Peaks& peaks, Results& results, const std::function<void(const std::string&)>& step,
               const std::function<void()>& before_printing) {
  std::string why;
  std::unique_ptr<Peer> peer;
  if (!options.python.empty()) peer = Peer::start(options, threads, why);  // afresh: its memory is that of this group
  std::vector<std::string> sums;
  std::map<std::string, Sum> sum;
  for (const Case* one : cases) {
    step(one->group + "/" + one->name);
    std::optional<Pair> pair;
    try {
      pair.emplace(*one, threads, peer.get());
    } catch (const MissingKernel& missing) {
      before_printing();
      results.note(
          fmt::format("  {}/{}: not run, {} has no kernel {}", one->group, one->name, device(), missing.table()));
      for (const std::string& name : one->sums) sum[name].whole = false;
      continue;
    }
    Line line = pair->measure(options.rounds);
    line.group = one->group;
    line.name = one->name;
    set_speed(line, pair->operations(), one->bytes, peaks);
    for (const std::string& name : one->sums) {
      if (std::ranges::find(sums, name) == sums.end()) sums.push_back(name);
      sum[name].add(*one, line);
    }
    before_printing();
    if (line.ms > 0 || line.peer_ms > 0) results.add(line);
    if (!pair->why_no_peer().empty()) {
      results.note("  no peer: " + pair->why_no_peer());
      if (pair->why_no_peer() == "it died") peer = Peer::start(options, threads, why);
    }
  }
  if (!whole) return;  // a part of a sum says nothing
  for (const std::string& name : sums) {
    Sum& total = sum[name];
    if (!total.whole) continue;
    Line& line = total.line;
    line.group = cases.front()->group;
    line.name = "sum: " + name;
    line.threads = threads;
    if (!total.ours) line.ms = 0;
    if (!total.peer) line.peer_ms = 0;
    if (total.ours && total.peer) line.ratio = line.ms / line.peer_ms;
    set_speed(line, total.operations, 0, peaks);
    results.add(line);
  }
}

}  // namespace

void run(const Options& options) {
  const Cases cases = all_cases();
  std::vector<std::vector<const Case*>> groups;
  for (const Case& one : cases) {
    if ((one.group + "/" + one.name).find(options.filter) == std::string::npos) continue;
    if (options.list) {
      fmt::print("{}/{}\n", one.group, one.name);
      continue;
    }
    if (groups.empty() || groups.back().front()->group != one.group) groups.emplace_back();
    groups.back().push_back(&one);
  }
  if (options.list) return;
  TESSERA_CHECK(!groups.empty(), "bench: no case has '{}' in its name (--list prints them)", options.filter);

  const auto levels = names_of(Precision());
  const auto level = std::ranges::find(levels, precision(), &std::pair<const char*, Precision>::second);
  Machine machine{
      cpu_name(),    name_of(simd_level()), level->first, "", static_cast<int>(std::thread::hardware_concurrency()),
      device().str()};
  if (!options.python.empty()) {
    std::string why;
    if (const std::unique_ptr<Peer> peer = Peer::start(options, 1, why)) machine.peer = peer->description();
    if (machine.peer.empty()) fmt::print("no peer: {}\n", why);
  }
  Options usable = options;
  if (machine.peer.empty()) usable.python.clear();
  Results results(machine);
  i64 total = 0, done = 0;
  for (const auto& group : groups) total += static_cast<i64>(group.size());
  Progress progress("bench", 0, total * static_cast<i64>(options.threads.size()));
  const bool on_cpu = device() == Device{};
  const double peak = on_cpu ? fma_peak() : device_product_peak();
  for (const int threads : options.threads) {
    omp_set_num_threads(threads);
    const Peaks peaks = on_cpu ? Peaks{peak * threads, copy_peak(threads)} : Peaks{peak, device_copy_peak()};
    progress.clear();
    results.begin(threads, peaks.operations, peaks.bytes);
    for (const auto& group : groups)
      run_group(
          group, std::ssize(group) == std::ranges::count(cases, group.front()->group, &Case::group), usable, threads,
          peaks, results, [&](const std::string& name) { progress.update(done++, name); }, [&] { progress.clear(); });
  }
  if (!options.json.empty()) results.write(options.json);
}

}  // namespace tessera::bench
