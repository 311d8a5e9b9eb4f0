// One case of a folder in the goldens/ops format, read from its ops.json.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tensor/safetensors.h"

namespace tessera::goldens {

// The attributes of a case. Each reader throws when the attribute is absent and has no default, or of another type;
// unread() names what no reader asked for: an attribute that the operator would silently ignore.
class Attributes {
 public:
  struct Value {
    enum class Kind { kNumber, kBoolean, kText, kNumbers } kind = Kind::kNumber;
    double number = 0;
    std::string text;
    std::vector<double> numbers;
  };

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  bool contains(const std::string& name) const { return values_.contains(name); }
  double number(const std::string& name) const;
  double number(const std::string& name, double absent) const;
  i64 integer(const std::string& name) const;  // a list of equal integers counts as one: [2, 2] is 2
  i64 integer(const std::string& name, i64 absent) const;
  bool boolean(const std::string& name) const;
  bool boolean(const std::string& name, bool absent) const;
  std::string text(const std::string& name, const std::string& absent) const;
  std::vector<i64> pair(const std::string& name) const;  // two integers; one counts for both
  std::vector<double> numbers(const std::string& name) const;
  std::vector<std::string> unread() const;

 private:
  const Value& read(const std::string& name, Value::Kind kind) const;

  std::map<std::string, Value> values_;
  mutable std::set<std::string> read_;
};

struct GoldenInput {
  Shape shape;
  double lo = 0, hi = 0;
  std::string dtype;    // "float32", "int64", ...
  bool stored = false;  // in the safetensors file as CASE/in.NAME; otherwise filled by name
};

struct GoldenCase {
  std::string name, op;
  std::string problem;  // what is wrong with the entry; empty when it is well-formed
  Attributes attributes;
  std::map<std::string, GoldenInput> inputs;
  std::vector<std::string> outputs, grads;
};

struct GoldenFolder {
  std::string prefix;
  std::vector<GoldenCase> cases;
  SafeTensors results;

  // Reads DIR/ops.json and DIR/ops.safetensors; throws Error naming the file and what is wrong with it. A single bad
  // entry is a case with a problem.
  static GoldenFolder open(const std::filesystem::path& folder);
};

}  // namespace tessera::goldens
