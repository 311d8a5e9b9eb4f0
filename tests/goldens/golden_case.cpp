#include "tests/goldens/golden_case.h"

#include <simdjson.h>

#include <cmath>

namespace tessera::goldens {

namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;
using Value = Attributes::Value;

constexpr i64 kMaxElements = i64{1} << 28;  // of one input: 1 GiB, beyond any sensible case

// Reads `key` of `from` as T, or throws with the words "CASE: inputs.x.shape is missing or not a list".
template <class T>
T field(const object& from, const char* key, const std::string& where, const char* kind) {
  T value;
  const bool good = from[key].get(value) == simdjson::SUCCESS;
  TESSERA_CHECK(good, "{}'{}' is missing or not {}", where, key, kind);
  return value;
}

std::string text_field(const object& from, const char* key, const std::string& where) {
  return std::string(field<std::string_view>(from, key, where, "a text"));
}

std::vector<std::string> texts(const object& from, const char* key) {
  std::vector<std::string> list;
  for (const element one : field<array>(from, key, "", "a list")) {
    std::string_view text;
    TESSERA_CHECK(one.get(text) == simdjson::SUCCESS, "'{}' holds something that is not a text", key);
    list.emplace_back(text);
  }
  return list;
}

bool number_of(const element& from, double& number) {
  return from.get_double().get(number) == simdjson::SUCCESS && std::isfinite(number);
}

Value attribute(const element& from, const std::string& name) {
  Value value;
  std::string_view text;
  bool flag = false;
  array list;
  if (from.get(flag) == simdjson::SUCCESS) {
    value.kind = Value::Kind::kBoolean;
    value.number = flag;
  } else if (number_of(from, value.number)) {
    value.kind = Value::Kind::kNumber;
  } else if (from.get(text) == simdjson::SUCCESS) {
    value.kind = Value::Kind::kText;
    value.text = text;
  } else if (from.get(list) == simdjson::SUCCESS) {
    value.kind = Value::Kind::kNumbers;
    for (const element one : list) {
      double number = 0;
      array inner;  // lists of lists ([[6, 8], [3, 4]]) are flattened
      if (one.get(inner) == simdjson::SUCCESS) {
        for (const element two : inner) {
          TESSERA_CHECK(number_of(two, number), "attribute '{}' holds something that is not a number", name);
          value.numbers.push_back(number);
        }
        continue;
      }
      TESSERA_CHECK(number_of(one, number), "attribute '{}' holds something that is not a number", name);
      value.numbers.push_back(number);
    }
  } else {
    fail("attribute '{}' is of no known type", name);
  }
  return value;
}

GoldenInput input(const object& from, const std::string& name) {
  const std::string where = "input '" + name + "': ";
  GoldenInput result;
  for (const element size : field<array>(from, "shape", where, "a list")) {
    i64 number = 0;
    TESSERA_CHECK(size.get(number) == simdjson::SUCCESS, "{}the shape holds something that is not an integer", where);
    result.shape.append(number);
  }
  TESSERA_CHECK(result.shape.numel() <= kMaxElements, "{}shape {} has more than {} elements", where, result.shape,
                kMaxElements);
  result.dtype = text_field(from, "dtype", where);
  bool stored = false;
  result.stored = from["stored"].get(stored) == simdjson::SUCCESS && stored;
  if (result.stored) return result;
  TESSERA_CHECK(result.dtype == "float32" || result.dtype == "int64", "{}a filled input is float32 or int64, not {}",
                where, result.dtype);
  result.lo = field<double>(from, "lo", where, "a number");
  result.hi = field<double>(from, "hi", where, "a number");
  TESSERA_CHECK(result.lo <= result.hi, "{}lo {} is above hi {}", where, result.lo, result.hi);
  return result;
}

GoldenCase read_case(const element& from, size_t position) {
  GoldenCase result;
  result.name = fmt::format("case {}", position);
  try {
    object entry;
    TESSERA_CHECK(from.get(entry) == simdjson::SUCCESS, "the entry is not an object");
    result.name = text_field(entry, "case", "");
    result.op = text_field(entry, "op", "");
    for (const auto& [key, value] : field<object>(entry, "attrs", "", "an object"))
      result.attributes.set(std::string(key), attribute(value, std::string(key)));
    for (const auto& [key, value] : field<object>(entry, "inputs", "", "an object")) {
      object description;
      TESSERA_CHECK(value.get(description) == simdjson::SUCCESS, "input '{}' is not an object", key);
      result.inputs[std::string(key)] = input(description, std::string(key));
    }
    result.outputs = texts(entry, "outputs");
    result.grads = texts(entry, "grads");
    TESSERA_CHECK(!result.outputs.empty(), "the case has no outputs");
    for (const std::string& name : result.grads)
      TESSERA_CHECK(result.inputs.contains(name), "'grads' names {}, which is not an input", name);
  } catch (const Error& error) {
    result.problem = error.what();
  }
  return result;
}

}  // namespace

const Value& Attributes::read(const std::string& name, Value::Kind kind) const {
  static const char* const kKinds[] = {"a number", "true or false", "a text", "a list of numbers"};
  const auto found = values_.find(name);
  TESSERA_CHECK(found != values_.end(), "attribute '{}' is missing", name);
  TESSERA_CHECK(found->second.kind == kind, "attribute '{}' is not {}", name, kKinds[static_cast<int>(kind)]);
  read_.insert(name);
  return found->second;
}

double Attributes::number(const std::string& name) const {
  return read(name, Value::Kind::kNumber).number;
}

double Attributes::number(const std::string& name, double absent) const {
  return contains(name) ? number(name) : absent;
}

i64 Attributes::integer(const std::string& name) const {
  const auto found = values_.find(name);
  const bool listed =
      found != values_.end() && found->second.kind == Value::Kind::kNumbers && !found->second.numbers.empty();
  const double value = listed ? numbers(name)[0] : number(name);
  if (listed)
    for (const double other : found->second.numbers)
      TESSERA_CHECK(other == value, "attribute '{}' must be the same for both axes", name);
  TESSERA_CHECK(value == std::floor(value) && std::abs(value) < 1e15, "attribute '{}' is not an integer: {}", name,
                value);
  return static_cast<i64>(value);
}

i64 Attributes::integer(const std::string& name, i64 absent) const {
  return contains(name) ? integer(name) : absent;
}

bool Attributes::boolean(const std::string& name) const {
  return read(name, Value::Kind::kBoolean).number != 0;
}

bool Attributes::boolean(const std::string& name, bool absent) const {
  return contains(name) ? boolean(name) : absent;
}

std::string Attributes::text(const std::string& name, const std::string& absent) const {
  return contains(name) ? read(name, Value::Kind::kText).text : absent;
}

std::vector<double> Attributes::numbers(const std::string& name) const {
  return read(name, Value::Kind::kNumbers).numbers;
}

std::vector<i64> Attributes::pair(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second.kind == Value::Kind::kNumber) return {integer(name), integer(name)};
  const std::vector<double> list = numbers(name);
  TESSERA_CHECK(list.size() == 2, "attribute '{}' has {} numbers, expected 2", name, list.size());
  for (const double value : list)
    TESSERA_CHECK(value == std::floor(value) && std::abs(value) < 1e15,
                  "attribute '{}' holds {}, which is not an integer", name, value);
  return {static_cast<i64>(list[0]), static_cast<i64>(list[1])};
}

std::vector<std::string> Attributes::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_)
    if (!read_.contains(name)) names.push_back(name);
  return names;
}

GoldenFolder GoldenFolder::open(const std::filesystem::path& folder) {
  const std::filesystem::path json = folder / "ops.json";
  GoldenFolder result;
  simdjson::dom::parser parser;
  element document;
  const simdjson::error_code code = parser.load(json.string()).get(document);
  TESSERA_CHECK(code == simdjson::SUCCESS, "{}: {}", json.string(), simdjson::error_message(code));
  object root;
  TESSERA_CHECK(document.get(root) == simdjson::SUCCESS, "{}: not a JSON object", json.string());
  const std::string where = json.string() + ": ";
  result.prefix = text_field(root, "prefix", where);
  size_t position = 0;
  for (const element entry : field<array>(root, "cases", where, "a list"))
    result.cases.push_back(read_case(entry, position++));
  TESSERA_CHECK(!result.cases.empty(), "{}: the list of cases is empty", json.string());
  result.results = SafeTensors::open(folder / "ops.safetensors");
  return result;
}

}  // namespace tessera::goldens
