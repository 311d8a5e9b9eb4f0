#include "data/base64.h"

#include <algorithm>

#include "tensor/error.h"

namespace tessera {

namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    unsigned group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kDigits[(group >> (18 - 6 * j)) & 63] : '=';
  }
  return text;
}

std::string decode_base64(std::string_view text) {
  while (text.ends_with('=') || text.ends_with('\n')) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  unsigned group = 0, bits = 0;  // that are not written yet
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    const size_t digit = kDigits.find(c);
    TESSERA_CHECK(digit != std::string_view::npos, "'{}' is no digit of base64", c);
    group = group << 6 | static_cast<unsigned>(digit);
    bits += 6;
    if (bits >= 8) bits -= 8, bytes += static_cast<char>(group >> bits);
  }
  TESSERA_CHECK(bits < 6, "base64 that ends within a byte");
  return bytes;
}

}  // namespace tessera
