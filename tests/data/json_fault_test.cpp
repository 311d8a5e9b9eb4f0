#include "data/json_fault.h"

#include <doctest/doctest.h>

#include "data/json_reader.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

namespace tessera::json {
namespace {

using namespace std::string_literals;

struct Case {
  std::string text, fault;
};

TEST_CASE("json: files that are something else are told what they are") {
  const Case cases[] = {
      {"", "the file is empty"},
      {" \n\t ", "there is nothing in it but white space"},
      {"\x1f\x8b\x08\x00"s, "compressed with gzip"},
      {"PK\x03\x04", "a zip archive"},
      {"\xff\xfe[\0]\0"s, "UTF-16"},
      {"\xfe\xff\0[\0]"s, "UTF-16"},
      {"[\0]\0"s, "UTF-16"},
      {"\0[\0]"s, "UTF-16"},
      {"\xff\xfe\0\0[\0\0\0"s, "UTF-32"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"},
      {"\n<!DOCTYPE html><html>", "a web page"},
      {"id,name\n1,bolt", "line 1, column 1 (byte 0): a value is expected, not id"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.fault);
    CHECK_MESSAGE(json_fault(c.text).find(c.fault) != std::string::npos, json_fault(c.text));
  }
}

TEST_CASE("json: the first mistake has a line, a column and a byte") {
  const Case cases[] = {
      {"[1, 2,]", "line 1, column 6 (byte 5): there is a comma before ]"},
      {"{\"a\": 1,\n}", "line 1, column 8 (byte 7): there is a comma before }"},
      {"[{\"a\": 1}\n {\"a\": 2}]", "line 2, column 2 (byte 11): a comma or ] is expected, not {"},
      {"{\"a\" 1}", "line 1, column 6 (byte 5): a colon is expected after the key, not 1"},
      {"{'a': 1}", "a key in double quotes is expected, not ' (strings and keys stand in double quotes)"},
      {"{\"a\": 'b'}", "column 7 (byte 6): a value is expected, not ' (strings"},
      {"{\"a\": }", "a value is expected, not }"},
      {"[True]", "a value is expected, not True (JSON writes true, false, null)"},
      {"[1, // one\n2]", "not / (JSON has no comments)"},
      {"[-inf]", "a value is expected, not -inf (JSON has no such number)"},
      {"[01]", "a value is expected, not 01"},
      {"[1.]", "a value is expected, not 1."},
      {"[.5]", "a value is expected, not .5"},
      {"[+5]", "a value is expected, not +5"},
      {"[\n\"a\xe9\"]", "line 2, column 3 (byte 4): byte 0xE9 is no UTF-8; is the file in Latin-1"},
      {"[\"\xc3\xa9\", \xe9]", "line 1, column 7 (byte 7): byte 0xE9 is no UTF-8"},
      {"[\"\xed\xa0\x80\"]", "byte 0xED is no UTF-8"},
      {"[\"\xc0\x80\"]", "byte 0xC0 is no UTF-8"},
      {"[\"C:\\data\"]", "a wrong escape in a string; a backslash is written as two"},
      {"[\"\\u12g4\"]", "a wrong escape"},
      {"[\"a\nb\"]", "a line break inside a string"},
      {"[\"a\tb\"]", "a control character inside a string"},
      {"{\"images\": [{\"id\": 1},\n {\"id\"", "line 2, column 2 (byte 24): the object that begins here is not closed"},
      {"[1, 2", "line 1, column 1 (byte 0): the list that begins here is not closed: the file is cut short"},
      {"[\"abc", "column 2 (byte 1): the file ends inside the string that begins here"},
      {"[\"abc\\", "the file ends inside the string"},
      {"[1] [2]", "column 5 (byte 4): there is more text after the end ([); one list or one object"},
      {"{\"a\": 1}\n{\"a\": 2}", "line 2, column 1 (byte 9): there is more text after the end"},
      {"[1}", "a comma or ] is expected, not }"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK_MESSAGE(json_fault(c.text).find(c.fault) != std::string::npos, json_fault(c.text));
  }
}

TEST_CASE("json: what is JSON has no fault, however deep") {
  for (const char* text :
       {"{}", "[]", " [1, -0.5e+3, 0, \"\\u00e9 \\\\ \xf0\x9f\x98\x80\", true, false, null, {\"a\": {\"b\": []}}] \n",
        "7", "[NaN, -Infinity, Infinity]", "\xef\xbb\xbf[1]"})
    CHECK(json_fault(text) == "");
  CHECK(json_fault(std::string(100000, '[') + std::string(100000, ']')) == "");
}

TEST_CASE("json: no message is the parser's own, and a file that is no JSON is told so first") {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder / "a.json";
  const auto read = [&](const std::string& text) {
    write_file(path, text);
    Document(path).for_each_field(
        [](std::string_view, Value value) { for_each_element(value, [](Value number) { read_integer(number); }); });
  };
  read("\xef\xbb\xbf{\"a\": [1, 2.0]}");
  CHECK_ERROR(read("[]"), "a.json: an object {...} is expected at the top of the file, not a list");
  CHECK_ERROR(read("7"), "a.json: an object {...} is expected at the top of the file, not 7");
  CHECK_ERROR(read("{\"a\": [1, {}]}"), "a.json: a[1]: an integer is expected, not an object");
  CHECK_ERROR(read("{\"a\": [1, NaN]}"), "a.json: a[1]: an integer is expected, not NaN (Python writes it so");
  CHECK_ERROR(read("{\"a\": 7}"), "a.json: a: a list [...] is expected, not 7");
  CHECK_ERROR(read("{\"a\": [1, \"2\"], }"), "a.json: line 1, column 15 (byte 14): there is a comma before }");
  CHECK_ERROR(read("{\"a\": [1, 2"), "a.json: line 1, column 7 (byte 6): the list that begins here is not closed");
}

}  // namespace
}  // namespace tessera::json
