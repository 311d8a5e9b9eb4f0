// The search for what is wrong with a file that is no JSON: it finds something exactly when a parser finds something.
#include <simdjson.h>

#include "data/json_fault.h"
#include "tests/fuzz/fuzz.h"

void tessera::fuzz::read(std::string_view bytes) {
  const std::string fault = json::json_fault(bytes);
  // The parser wants more: numbers that fit, strings without lone surrogates, little depth, no NaN.
  simdjson::dom::parser parser;
  const simdjson::error_code error =
      parser.parse(simdjson::padded_string(json::without_byte_order_mark(bytes))).error();
  if (!fault.empty() && error == simdjson::SUCCESS) std::abort();
  const bool beyond = error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR ||
                      error == simdjson::DEPTH_ERROR || bytes.find('N') != bytes.npos || bytes.find('I') != bytes.npos;
  if (fault.empty() && error != simdjson::SUCCESS && !beyond) std::abort();
}
