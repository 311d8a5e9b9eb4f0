#include "data/json_writer.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <iterator>

namespace tessera::json {

void append_string(std::string& out, std::string_view text) {
  TESSERA_CHECK(simdjson::validate_utf8(text), "json: a text of {} bytes is not UTF-8", text.size());
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_number(std::string& out, double number) {
  TESSERA_CHECK(std::isfinite(number), "json: {} cannot be written", number);
  fmt::format_to(std::back_inserter(out), "{}", number);
}

void append_numbers(std::string& out, std::span<const double> numbers) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    out.push_back(i == 0 ? '[' : ',');
    append_number(out, numbers[i]);
  }
  out += numbers.empty() ? "[]" : "]";
}

void append_rle(std::string& out, const Rle& rle) {
  check_rle(rle);
  fmt::format_to(std::back_inserter(out), "{{\"size\":[{},{}],\"counts\":", rle.height, rle.width);
  append_string(out, rle_to_string(rle));
  out.push_back('}');
}

}  // namespace tessera::json
