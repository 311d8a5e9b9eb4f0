// What checking golden results came to: one line per case, and the counts of the last line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace tessera::goldens {

class Report {
 public:
  explicit Report(Device device, bool print = true) : device_(device), print_(print) {}
  Device device() const { return device_; }  // where the cases are to run

  // Of activations, in networks whose goldens say that they hold in it (network_goldens.h).
  DType dtype = DType::kF32;

  // A file with the network's parameters, in place of those generated from their names; empty: none.
  std::filesystem::path weights;

  // Of several tries (check_tries in module_golden.h), the number of this one.
  int attempt = 0;

  // Every tolerance is multiplied by this: stored results are held to f32's error, which lower precisions do not reach.
  double tolerance_factor = 1;

  // Each adds its line. `worst` is the largest error relative to its tolerance's measure, `note` says where it lies.
  void ok(const std::string& name, double worst);
  void fail(const std::string& name, double worst, const std::string& note);
  void fail(const std::string& name, const std::string& note);  // an exception, a wrong shape
  void missing(const std::string& name, const std::string& note);
  // ok or fail, as `error` is or is not within `tolerance`; NaN fails.
  void check(const std::string& name, double error, double tolerance, const std::string& note = "");

  Report trial(int attempt) const;        // the same settings, nothing reported yet, silent
  void add(const Report& trial);          // what it reported
  void take_passed(const Report& other);  // in place of cases that failed here and passed in another trial of the same

  int passed() const { return passed_; }
  int failed() const { return failed_; }
  int missing() const { return missing_; }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void add_line(std::string line);

  Device device_;
  bool print_;  // each line as it comes
  std::vector<std::string> lines_;
  int passed_ = 0, failed_ = 0, missing_ = 0;
};

// max |got - want| / max |want| over all elements, computed in f64; the plain difference when want is all zero;
// infinity when the shapes differ, or where one is NaN or infinite and the other not the same.
double relative_error(const Tensor& got, const Tensor& want);

}  // namespace tessera::goldens
