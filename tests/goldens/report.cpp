#include "tests/goldens/report.h"

#include <fmt/core.h>

#include <cmath>
#include <limits>

namespace tessera::goldens {

void Report::add_line(std::string line) {
  if (print_) fmt::print("{}\n", line);
  lines_.push_back(std::move(line));
}

void Report::ok(const std::string& name, double worst) {
  ++passed_;
  add_line(fmt::format("ok       {}  {:.2e}", name, worst));
}

void Report::fail(const std::string& name, double worst, const std::string& note) {
  ++failed_;
  add_line(fmt::format("FAIL     {}  {:.2e}  {}", name, worst, note));
}

void Report::fail(const std::string& name, const std::string& note) {
  ++failed_;
  add_line(fmt::format("FAIL     {}  {}", name, note));
}

void Report::missing(const std::string& name, const std::string& note) {
  ++missing_;
  add_line(fmt::format("missing  {}  {}", name, note));
}

void Report::check(const std::string& name, double error, double tolerance, const std::string& note) {
  tolerance *= tolerance_factor;
  if (error <= tolerance)
    ok(name, error);
  else
    fail(name, error, fmt::format("more than {:.0e}{}{}", tolerance, note.empty() ? "" : ", ", note));
}

Report Report::trial(int attempt) const {
  Report trial(device_, false);
  trial.weights = weights;
  trial.dtype = dtype;
  trial.attempt = attempt;
  trial.tolerance_factor = tolerance_factor;
  return trial;
}

void Report::add(const Report& trial) {
  for (const std::string& line : trial.lines_) add_line(line);
  passed_ += trial.passed_;
  failed_ += trial.failed_;
  missing_ += trial.missing_;
}

void Report::take_passed(const Report& other) {
  for (size_t i = 0; i < lines_.size() && i < other.lines_.size(); ++i) {
    if (!lines_[i].starts_with("FAIL") || !other.lines_[i].starts_with("ok")) continue;
    lines_[i] = other.lines_[i];
    --failed_;
    ++passed_;
  }
}

double relative_error(const Tensor& got, const Tensor& want) {
  if (!got.defined() || got.shape() != want.shape()) return std::numeric_limits<double>::infinity();
  const Tensor a = got.to_host().to(DType::kF64), b = want.to_host().to(DType::kF64);
  double difference = 0, largest = 0;
  for (i64 i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = b.data<double>()[i];
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      return std::numeric_limits<double>::infinity();
    }
    difference = std::max(difference, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
  }
  return largest > 0 ? difference / largest : difference;
}

}  // namespace tessera::goldens
