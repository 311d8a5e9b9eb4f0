#include "data/base64.h"

#include <doctest/doctest.h>

#include "tests/support/check_error.h"

namespace tessera {
namespace {

TEST_CASE("base64: the standard's examples, there and back") {
  const std::pair<const char*, const char*> examples[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xFF\xFE", "//4="}};
  for (const auto& [bytes, text] : examples) {
    CHECK(encode_base64(bytes) == text);
    CHECK(decode_base64(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(decode_base64(encode_base64(all)) == all);
}

TEST_CASE("base64: lines and missing padding are read, what is no base64 is an error") {
  CHECK(decode_base64("Zm9v\r\nYmFy\n") == "foobar");
  CHECK(decode_base64("Zg") == "f");
  CHECK_ERROR(decode_base64("Zm9-"), "'-' is no digit of base64");
  CHECK_ERROR(decode_base64("Zg==Zg=="), "'=' is no digit of base64");
  CHECK_ERROR(decode_base64("Zm9vY"), "ends within a byte");
}

}  // namespace
}  // namespace tessera
