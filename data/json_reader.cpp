#include "data/json_reader.h"

#include <algorithm>
#include <cmath>

#include "tensor/file.h"

namespace tessera::json {

namespace {

bool get_number(Value& value, double& number) {
  return value.get_double().get(number) == simdjson::SUCCESS && std::isfinite(number);
}

bool get_integer(Value& value, i64& integer) {
  if (value.get_int64().get(integer) == simdjson::SUCCESS) [[likely]]
    return true;
  double number = 0;  // 17.0: some tools write every number so
  if (!get_number(value, number) || std::abs(number) > 9007199254740992.0 || number != std::trunc(number)) return false;
  integer = static_cast<i64>(number);
  return true;
}

}  // namespace

i64 read_integer(Value value) {
  i64 integer = 0;
  TESSERA_CHECK(get_integer(value, integer), "an integer is expected, not {}", in_words(value));
  return integer;
}

double read_number(Value value) {
  double number = 0;
  TESSERA_CHECK(get_number(value, number), "a finite number is expected, not {}", in_words(value));
  return number;
}

bool read_flag(Value value) {
  bool flag = false;
  if (value.get_bool().get(flag) == simdjson::SUCCESS) return flag;
  if (is_null(value)) return false;
  const std::optional<i64> integer = find_integer(value);
  TESSERA_CHECK(integer == 0 || integer == 1, "0, 1, true or false is expected, not {}", in_words(value));
  return integer == 1;
}

std::string_view read_string(Value value) {
  const std::optional<std::string_view> text = find_string(value);
  TESSERA_CHECK(text, "a string is expected, not {}", in_words(value));
  return *text;
}

void read_numbers(Value value, std::vector<double>& numbers) {
  for_each_element(value, [&](Value item) { numbers.push_back(read_number(item)); });
}

void read_integers(Value value, std::vector<i64>& integers) {
  for_each_element(value, [&](Value item) { integers.push_back(read_integer(item)); });
}

void read_exactly(Value value, std::span<double> numbers) {
  size_t n = 0;
  for_each_element(value, [&](Value item) {
    const double number = read_number(item);
    if (n < numbers.size()) numbers[n] = number;
    ++n;
  });
  TESSERA_CHECK(n == numbers.size(), "a list of {} numbers is expected, this one has {}", numbers.size(), n);
}

std::optional<i64> find_integer(Value value) {
  i64 integer = 0;
  return get_integer(value, integer) ? std::optional(integer) : std::nullopt;
}

std::optional<double> find_number(Value value) {
  double number = 0;
  return get_number(value, number) ? std::optional(number) : std::nullopt;
}

std::optional<std::string_view> find_string(Value value) {
  std::string_view text;
  return value.get_string().get(text) == simdjson::SUCCESS ? std::optional(text) : std::nullopt;
}

std::optional<size_t> find_numbers(Value value, std::span<double> numbers) {
  simdjson::ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) return std::nullopt;
  size_t n = 0;
  bool all = true;
  for (auto item : array) {
    Value element(item.value());
    double number = 0;
    all &= get_number(element, number);
    if (n < numbers.size()) numbers[n] = number;
    ++n;
  }
  return all ? std::optional(n) : std::nullopt;
}

bool is_null(Value value) {
  return value.raw_json_token().starts_with("null");
}

namespace {

// simdjson cannot go back to the beginning of one that is empty.
template <class Container>
std::string_view text_of(Container container, const char* empty) {
  return bool(container.is_empty()) ? std::string_view(empty) : std::string_view(container.raw_json());
}

}  // namespace

std::string_view text_of(Value value) {
  const std::string_view token = value.raw_json_token();
  const std::string_view text = token.starts_with('{')   ? text_of(read_object(value), "{}")
                                : token.starts_with('[') ? text_of(read_array(value), "[]")
                                                         : token;
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

std::string in_words(Value value) {
  return token_in_words(value.raw_json_token());
}

std::string joined(std::string_view place, std::string_view message) {
  const bool goes_on = message.starts_with('[') || message.starts_with(' ');
  return fmt::format("{}{}{}", place, goes_on ? "" : ": ", message);
}

const char* in_words(simdjson::error_code error) {
  switch (error) {
    case simdjson::CAPACITY:
      return "more than 4 GB of JSON in one file cannot be read";
    case simdjson::MEMALLOC:
      return "there is not enough memory to read it";
    default:
      return "it is no JSON";
  }
}

std::string token_in_words(std::string_view token) {
  token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
  constexpr size_t kShown = 40;
  const std::string shown = token.size() <= kShown ? std::string(token) : std::string(token.substr(0, kShown)) + "...";
  if (token.starts_with('{')) return "an object";
  if (token.starts_with('[')) return "a list";
  if (token.starts_with('"')) return "the string " + shown;
  if (token == "NaN" || token == "Infinity" || token == "-Infinity")
    return shown + " (Python writes it so, but JSON has no such number)";
  return shown;
}

Document::Document(const std::filesystem::path& path) : name_(path.string()) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  text_ = simdjson::padded_string(without_byte_order_mark({file->data(), file->size()}));
}

namespace {

// The first key of an object says more than its kind.
std::string object_in_words(std::string_view text) {
  const size_t key = text.find_first_not_of("{ \t\r\n");
  if (key == std::string_view::npos || text[key] != '"') return "an object {...}";
  return fmt::format("an object with {}", text.substr(key, std::min<size_t>(text.find('"', key + 1) + 1 - key, 40)));
}

}  // namespace

simdjson::ondemand::document& Document::start(char bracket) {
  document_ = parser_.iterate(text_);
  const std::string_view token(document_.raw_json_token());
  TESSERA_CHECK(token.starts_with(bracket), "{} is expected at the top of the file, not {}",
                bracket == '{' ? "an object {...}" : "a list [...]",
                token.starts_with('{') ? object_in_words(text_) : token_in_words(token));
  return document_;
}

void Document::fail_with(std::string_view message) const {
  const std::string fault = json_fault(text_);
  fail("{}: {}", name_, fault.empty() ? message : fault);
}

void check_end(simdjson::ondemand::document& document) {
  TESSERA_CHECK(document.current_location().error() == simdjson::OUT_OF_BOUNDS, "there is text after the end");
}

simdjson::ondemand::document& ArrayPiece::start(std::string_view text, bool cut_front, bool cut_back) {
  buffer_.clear();
  buffer_.reserve(text.size() + 2 + simdjson::SIMDJSON_PADDING);
  if (cut_front) buffer_.push_back('[');
  buffer_ += text;
  if (cut_back) buffer_.push_back(']');
  document_ = parser_.iterate(buffer_);
  return document_;
}

std::vector<size_t> presumed_cuts(std::string_view text) {
  constexpr size_t kDistance = size_t{1} << 20;
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<size_t> cuts;
  for (size_t at = kDistance; at < text.size();) {
    const size_t brace = text.find('}', at);
    if (brace == std::string_view::npos) break;
    const size_t comma = text.find_first_not_of(kSpace, brace + 1);
    at = brace + 1;
    if (comma == std::string_view::npos || text[comma] != ',') continue;
    const size_t next = text.find_first_not_of(kSpace, comma + 1);
    if (next == std::string_view::npos || text[next] != '{') continue;
    cuts.push_back(comma);
    at = comma + kDistance;
  }
  return cuts;
}

}  // namespace tessera::json
