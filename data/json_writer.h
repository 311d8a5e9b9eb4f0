// Writing large JSON files piece by piece into one text.
#pragma once

#include <string>
#include <string_view>

#include "data/rle.h"

namespace tessera::json {

void append_string(std::string& out, std::string_view text);  // quoted and escaped; throws when text is not UTF-8
void append_number(std::string& out, double number);          // with all digits it needs; throws when not finite
void append_numbers(std::string& out, std::span<const double> numbers);
void append_rle(std::string& out, const Rle& rle);  // {"size": [h, w], "counts": "..."}

}  // namespace tessera::json
