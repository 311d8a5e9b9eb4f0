// tessera_ops: runs the op cases from the command line.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <optional>
#include <regex>
#include <set>

#include "ops/kernel_table.h"
#include "tensor/nearest_name.h"
#include "tests/ops/op_case.h"
#include "tests/ops/op_check.h"

namespace tessera::test {

namespace {

constexpr double kBenchSeconds = 0.5;  // per measurement

struct Selection {
  std::string op;  // an operator or a family; empty: all
  std::vector<Device> devices;
  std::optional<std::regex> name;  // found anywhere in the case's name

  bool takes(const OpFamily& family, const std::string& case_op, const std::string& case_name) const {
    return (op.empty() || op == case_op || op == family.name()) && (!name || std::regex_search(case_name, *name));
  }
};

constexpr int kWrong = 1, kMissing = 2;  // exit codes

// What became of the cases.
class Count {
 public:
  // `check` returns what is wrong, or nothing.
  template <class F>
  void run(const std::string& op, const std::string& name, Device device, const char* mode, F&& check) {
    try {
      const std::string wrong = check();
      ++(wrong.empty() ? passed_ : failed_);
      fmt::print("{:4}  {} on {}: {}\n", wrong.empty() ? "ok" : "FAIL", op, device, name);
      if (!wrong.empty()) fmt::print("      {}\n      {}\n", wrong, repeat_line(mode, op, device, name));
    } catch (const MissingKernel& missing) {
      ++not_run_;
      missing_.insert(fmt::format("{} on {}", missing.table(), name_of(device.kind)));
    }
  }

  int finish() const {
    TESSERA_CHECK(passed_ + failed_ + not_run_ > 0, "tessera_ops: no case matches");
    if (not_run_ > 0)
      fmt::print("{} not run, for want of {} kernels: {}\n", not_run_, missing_.size(), fmt::join(missing_, ", "));
    fmt::print("{} passed, {} failed\n", passed_, failed_);
    return failed_ > 0 ? kWrong : not_run_ > 0 ? kMissing : 0;
  }

 private:
  int passed_ = 0, failed_ = 0, not_run_ = 0;
  std::set<std::string> missing_;
};

int run_checks(const Selection& selection, const char* mode, std::string (*check)(const OpCase&, Device),
               bool with_errors) {
  Count count;
  for (OpFamily* family : op_families()) {
    for (const OpCase& one : family->cases())
      if (selection.takes(*family, one.op, one.name))
        for (const Device device : selection.devices)
          count.run(one.op, one.name, device, mode, [&] { return check(one, device); });
    if (!with_errors) continue;
    for (const OpError& one : family->errors())
      if (selection.takes(*family, one.op, one.name))
        count.run(one.op, one.name, {}, mode, [&] { return check_error(one); });
  }
  return count.finish();
}

// Median seconds of one call, over as many calls as fit into kBenchSeconds, at least five.
template <class F>
double measure(F&& call) {
  using Clock = std::chrono::steady_clock;
  call();  // fills the allocator's cache
  std::vector<double> seconds;
  const auto start = Clock::now();
  while (seconds.size() < 5 || std::chrono::duration<double>(Clock::now() - start).count() < kBenchSeconds) {
    const auto before = Clock::now();
    call();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

// The line of one case. The lack of a backward kernel stands in the place of its time.
std::string bench_line(const OpCase& one, Device device) {
  const Tensors inputs = make_inputs(one);
  const Vars vars = make_vars(one, inputs, DType::kF32, device, true);
  const double forward = measure([&] {
    const NoGrad no_grad;
    one.run(vars);
  });
  std::string line = fmt::format("{:<24} {:<48} {:<6} {:10.3f} ms", one.op, one.name, device, forward * 1e3);
  line += one.flops > 0 ? fmt::format(" {:9.2f} GFLOP/s", one.flops / forward * 1e-9)
                        : fmt::format(" {:9.2f} GB/s   ", one.bytes / forward * 1e-9);
  if (one.grad.empty()) return line;
  try {
    const double both = measure([&] {
      const Outputs ys = one.run(vars);
      for (const Var& y : ys)
        if (y.requires_grad()) {
          y.backward(Tensor::full(y.shape(), 1, y.value().dtype(), device));
          break;
        }
    });
    return line + fmt::format(" {:10.3f} ms with backward", both * 1e3);
  } catch (const MissingKernel& missing) {
    return line + fmt::format(" no kernel {}", missing.table());
  }
}

int run_bench(const Selection& selection) {
  for (OpFamily* family : op_families())
    for (const std::vector<OpCase>* cases : {&family->cases(), &family->benches()})
      for (const OpCase& one : *cases)
        if ((one.flops > 0 || one.bytes > 0) && selection.takes(*family, one.op, one.name))
          for (const Device device : selection.devices) {
            try {
              fmt::print("{}\n", bench_line(one, device));
            } catch (const MissingKernel& missing) {
              fmt::print("{:<24} {:<48} {:<6} no kernel {}\n", one.op, one.name, device, missing.table());
            }
          }
  return 0;
}

int run_list(const Selection& selection) {
  for (OpFamily* family : op_families()) {
    for (const OpCase& one : family->cases())
      if (selection.takes(*family, one.op, one.name)) fmt::print("{}  {}\n", one.op, one.name);
    for (const OpError& one : family->errors())
      if (selection.takes(*family, one.op, one.name)) fmt::print("{}  {}  (error)\n", one.op, one.name);
  }
  return 0;
}

// The error names the nearest operator or family.
void check_known(const std::string& op) {
  std::vector<std::string> known;
  for (OpFamily* family : op_families()) {
    known.push_back(family->name());
    for (const OpCase& one : family->cases()) known.push_back(one.op);
    for (const OpCase& one : family->benches()) known.push_back(one.op);
    for (const OpError& one : family->errors()) known.push_back(one.op);
  }
  TESSERA_CHECK(op.empty() || std::find(known.begin(), known.end(), op) != known.end(),
                "tessera_ops: unknown operator {}; did you mean {}?", op, nearest_name(op, known));
}

int run(int argc, char** argv) {
  CLI::App app("Checks and measures every operator on every device, from the cases of tests/ops.", "tessera_ops");
  std::string mode, device, pattern;
  Selection selection;
  app.add_option("MODE", mode,
                 "test: results against naive f64 references, and error messages\n"
                 "grad: gradients against finite differences (f64), f32 against f64\n"
                 "bench: time, GFLOP/s or GB/s of the cases that state them\n"
                 "support: the table operator x device\n"
                 "list: the names of the cases")
      ->required()
      ->check(CLI::IsMember({"test", "grad", "bench", "support", "list"}));
  app.footer(
      "Exit status: 0; 1 when a case fails; 2 when none fails, but some want a kernel that the device does not have.");
  app.add_option("-o,--op", selection.op, "only this operator or family (conv2d, pointwise, ...)");
  app.add_option("-d,--device", device, "only this device (cpu, ...); all by default");
  app.add_option("-p,--pattern", pattern, "only cases whose name contains this regular expression");
  CLI11_PARSE(app, argc, argv);

  try {
    if (!pattern.empty()) selection.name.emplace(pattern);
  } catch (const std::regex_error& error) {
    fail("tessera_ops: -p '{}' is not a regular expression: {}", pattern, error.what());
  }
  check_known(selection.op);
  selection.devices = device.empty() ? registered_devices() : std::vector<Device>{Device::parse(device)};
  if (mode == "support") return fmt::print("{}", support_table()), 0;
  if (mode == "list") return run_list(selection);
  if (mode == "bench") return run_bench(selection);
  if (mode == "grad") return run_checks(selection, "grad", check_gradient, false);
  return run_checks(selection, "test", check_forward, true);
}

}  // namespace

}  // namespace tessera::test

int main(int argc, char** argv) {
  try {
    return tessera::test::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
