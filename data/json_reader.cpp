#include "data/json_reader.h"

#include <cmath>

#include "tensor/file.h"

namespace tessera::json {

i64 read_integer(Value value) {
  i64 integer = 0;
  if (value.get_int64().get(integer) == simdjson::SUCCESS) return integer;
  double number = 0;  // 17.0: some tools write every number so
  const bool whole = value.get_double().get(number) == simdjson::SUCCESS && std::abs(number) <= 9007199254740992.0 &&
                     number == std::trunc(number);
  TESSERA_CHECK(whole, "an integer is expected");
  return static_cast<i64>(number);
}

double read_number(Value value) {
  double number = 0;
  const bool ok = value.get_double().get(number) == simdjson::SUCCESS && std::isfinite(number);
  TESSERA_CHECK(ok, "a finite number is expected");
  return number;
}

std::string_view read_string(Value value) {
  std::string_view text;
  TESSERA_CHECK(value.get_string().get(text) == simdjson::SUCCESS, "a string is expected");
  return text;
}

namespace {

simdjson::ondemand::array read_array(Value& value) {
  simdjson::ondemand::array array;
  TESSERA_CHECK(value.get_array().get(array) == simdjson::SUCCESS, "an array is expected");
  return array;
}

}  // namespace

void read_numbers(Value value, std::vector<double>& numbers) {
  for (auto item : read_array(value)) numbers.push_back(read_number(item.value()));
}

void read_integers(Value value, std::vector<i64>& integers) {
  for (auto item : read_array(value)) integers.push_back(read_integer(item.value()));
}

size_t read_some(Value value, std::span<double> numbers) {
  size_t n = 0;
  for (auto item : read_array(value)) {
    const double number = read_number(item.value());
    if (n < numbers.size()) numbers[n] = number;
    ++n;
  }
  return n;
}

void read_exactly(Value value, std::span<double> numbers) {
  const size_t n = read_some(value, numbers);
  TESSERA_CHECK(n == numbers.size(), "an array of {} numbers is expected, this one has {}", numbers.size(), n);
}

bool is_null(Value& value) {
  return value.type() == simdjson::ondemand::json_type::null;
}

Document::Document(const std::filesystem::path& path) : name_(path.string()) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  TESSERA_CHECK(file->size() > 0, "{}: the file is empty", name_);
  text_ = simdjson::padded_string(file->data(), file->size());
}

simdjson::ondemand::document& Document::start() {
  document_ = parser_.iterate(text_);
  return document_;
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
