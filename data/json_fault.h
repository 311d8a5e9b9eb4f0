// Why a file that was to be JSON is none, in the words of whoever has the file.
#pragma once

#include <string>
#include <string_view>

namespace tessera::json {

// What the text is instead (empty, compressed, a web page, in another encoding), or its first mistake with line, column
// and byte. Empty when it is JSON; NaN, Infinity and -Infinity pass, for they may stand where nobody reads them. For
// files that could not be read: one pass, whose memory is the depth of the brackets.
std::string json_fault(std::string_view text);

// The text behind the byte-order mark of UTF-8, if there is one.
std::string_view without_byte_order_mark(std::string_view text);

}  // namespace tessera::json
