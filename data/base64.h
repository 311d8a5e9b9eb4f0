// Bytes as text, as RFC 4648, section 4, has it: pictures within HTML and JSON.
#pragma once

#include <string>
#include <string_view>

namespace tessera {

std::string encode_base64(std::string_view bytes);

// Line breaks are passed over, and padding may be missing; anything else that is no digit throws.
std::string decode_base64(std::string_view text);

}  // namespace tessera
