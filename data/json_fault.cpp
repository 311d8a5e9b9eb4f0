#include "data/json_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tensor/error.h"

namespace tessera::json {

namespace {

using namespace std::string_view_literals;

constexpr auto kSpace = " \t\r\n"sv, kMark = "\xef\xbb\xbf"sv;

struct FileKind {
  std::string_view start;
  const char* what;
};
constexpr const char *kUtf16 = "it is in UTF-16; JSON is UTF-8: save it so",
                     *kUtf32 = "it is in UTF-32; JSON is UTF-8: save it so";
constexpr FileKind kKinds[] = {
    {"\x1f\x8b"sv, "it is compressed with gzip: unpack it first (gunzip)"},
    {"PK\x03\x04"sv, "it is a zip archive: unpack it first (unzip)"},
    {"BZh"sv, "it is compressed with bzip2: unpack it first (bunzip2)"},
    {"\xfd"
     "7zXZ"sv,
     "it is compressed with xz: unpack it first (unxz)"},
    {"\x28\xb5\x2f\xfd"sv, "it is compressed with zstd: unpack it first (unzstd)"},
    {"version https://git-lfs"sv, "it is a pointer of Git LFS; the file itself is still to be fetched (git lfs pull)"},
    {"\xff\xfe\0\0"sv, kUtf32},
    {"\0\0\xfe\xff"sv, kUtf32},
    {"\xff\xfe"sv, kUtf16},
    {"\xfe\xff"sv, kUtf16},
};

// Bytes of the UTF-8 character at the front of the text, 0 when it is none.
size_t character_size(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool outside = (first == 0xed && byte(1) >= 0xa0) || (first == 0xf4 && byte(1) >= 0x90);
  return overlong || outside ? 0 : size;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// -? (0 | [1-9] digits) (. digits)? ([eE] [+-]? digits)?
bool is_number(std::string_view token) {
  const auto digits = [&] {
    const size_t count = std::min(token.find_first_not_of("0123456789"), token.size());
    token.remove_prefix(count);
    return count;
  };
  if (token.starts_with('-')) token.remove_prefix(1);
  const bool zero = token.starts_with('0');
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (token.starts_with('.')) {
    token.remove_prefix(1);
    if (digits() == 0) return false;
  }
  if (token.starts_with('e') || token.starts_with('E')) {
    token.remove_prefix(1);
    if (token.starts_with('+') || token.starts_with('-')) token.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return token.empty();
}

// Walks over a text and throws Error at its first mistake.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text) {}

  void run() {
    Next next = Next::kValue;
    while (skip_space() || next != Next::kEnd) {
      if (at_ == text_.size()) fail_unfinished();
      next = step(next);
    }
  }

 private:
  // What may come.
  enum class Next { kValue, kFirstValue, kKey, kFirstKey, kColon, kCommaOrEnd, kEnd };

  Next step(Next next) {
    const char c = text_[at_];
    switch (next) {
      case Next::kFirstKey:
      case Next::kFirstValue:
        if (closes(c)) return close();
        return next == Next::kFirstKey ? key() : value();
      case Next::kKey:
        if (closes(c)) fail_at(comma_, "there is a comma before {}; JSON has none after the last field", c);
        return key();
      case Next::kValue:
        if (closes(c) && c == ']')
          fail_at(comma_, "there is a comma before {}; JSON has none after the last element", c);
        return value();
      case Next::kColon:
        if (c != ':') fail_at(at_, "a colon is expected after the key, not {}", here());
        ++at_;
        return Next::kValue;
      case Next::kCommaOrEnd:
        if (closes(c)) return close();
        if (c != ',') fail_at(at_, "a comma or {} is expected, not {}", in_object() ? '}' : ']', here());
        comma_ = at_++;
        return in_object() ? Next::kKey : Next::kValue;
      case Next::kEnd:
        break;
    }
    fail_at(at_, "there is more text after the end ({}); one list or one object is expected, not one per line", here());
  }

  Next key() {
    if (text_[at_] != '"') fail_at(at_, "a key in double quotes is expected, not {}", here());
    pass_string();
    return Next::kColon;
  }

  Next value() {
    const char c = text_[at_];
    if (c == '{' || c == '[') {
      open_.push_back(at_++);
      return c == '{' ? Next::kFirstKey : Next::kFirstValue;
    }
    if (c == '"') {
      pass_string();
    } else {
      const std::string_view token = word();
      const bool known = is_number(token) || token == "true" || token == "false" || token == "null" || token == "NaN" ||
                         token == "Infinity" || token == "-Infinity";
      if (!known) fail_at(at_, "a value is expected, not {}", here());
      at_ += token.size();
    }
    return after_value();
  }

  Next close() {
    ++at_;
    open_.pop_back();
    return after_value();
  }

  Next after_value() const { return open_.empty() ? Next::kEnd : Next::kCommaOrEnd; }
  bool in_object() const { return text_[open_.back()] == '{'; }
  bool closes(char c) const { return !open_.empty() && c == (in_object() ? '}' : ']'); }

  void pass_string() {
    const size_t begin = at_++;
    for (;;) {
      if (at_ == text_.size()) fail_at(begin, "the file ends inside the string that begins here: it is cut short");
      const char c = text_[at_];
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20)
        fail_at(at_, "there is a {} inside a string; JSON writes it as an escape, as \\n",
                c == '\n' || c == '\r' ? "line break" : "control character");
      at_ += c == '\\' ? escape_size() : checked_character();
    }
    ++at_;
  }

  size_t escape_size() const {
    const std::string_view rest = text_.substr(at_ + 1);
    if (rest.empty()) return 1;
    if ("\"\\/bfnrt"sv.find(rest[0]) != std::string_view::npos) return 2;
    const bool hexadecimal = rest[0] == 'u' && rest.size() > 4 && std::ranges::all_of(rest.substr(1, 4), [](char c) {
                               return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
                             });
    if (!hexadecimal)
      fail_at(at_, "there is a wrong escape in a string; a backslash is written as two (in the paths of Windows too)");
    return 6;
  }

  size_t checked_character() const {
    const size_t size = character_size(text_.substr(at_));
    if (size == 0)
      fail_at(at_, "byte 0x{:02X} is no UTF-8; is the file in Latin-1 or another encoding? Save it as UTF-8",
              static_cast<unsigned char>(text_[at_]));
    return size;
  }

  bool skip_space() {  // true when there is text left
    at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size());
    return at_ < text_.size();
  }

  std::string_view word() const {
    const auto ends = [](char c) {
      return !is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
             "+-._"sv.find(c) == std::string_view::npos;
    };
    const std::string_view rest = text_.substr(at_);
    return rest.substr(0, static_cast<size_t>(std::ranges::find_if(rest, ends) - rest.begin()));
  }

  // What stands at at_, and what is wrong with it where that is known.
  std::string here() const {
    const char c = text_[at_];
    constexpr size_t kShown = 24;
    std::string shown(word().substr(0, kShown));
    if (shown.empty()) shown.assign(text_.substr(at_, checked_character()));
    if (static_cast<unsigned char>(c) < 0x20) shown = fmt::format("byte 0x{:02X}", static_cast<unsigned char>(c));
    const char* hint = "";
    if (c == '\'')
      hint = " (strings and keys stand in double quotes)";
    else if (c == '/' || c == '#')
      hint = " (JSON has no comments)";
    else if (shown == "True" || shown == "False" || shown == "None")
      hint = " (JSON writes true, false, null)";
    else if (shown.ends_with("nan") || shown.ends_with("inf"))
      hint = " (JSON has no such number)";
    return shown + hint;
  }

  template <class... Args>
  [[noreturn]] void fail_at(size_t at, fmt::format_string<Args...> format, Args&&... args) const {
    const std::string_view before = text_.substr(0, at);
    const size_t line_begin = before.rfind('\n') + 1;  // 0 when there is none
    const auto column = std::ranges::count_if(before.substr(line_begin),
                                              [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
    fail("line {}, column {} (byte {}): {}", std::ranges::count(before, '\n') + 1, column + 1, at,
         fmt::format(format, std::forward<Args>(args)...));
  }

  [[noreturn]] void fail_unfinished() const {
    if (open_.empty()) fail("there is nothing in it but white space");
    fail_at(open_.back(), "the {} that begins here is not closed: the file is cut short, or a bracket is missing",
            in_object() ? "object" : "list");
  }

  std::string_view text_;
  size_t at_ = 0, comma_ = 0;
  std::vector<size_t> open_;  // where the brackets around at_ stand
};

}  // namespace

std::string_view without_byte_order_mark(std::string_view text) {
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

std::string json_fault(std::string_view text) {
  if (text.empty()) return "the file is empty";
  for (const FileKind& kind : kKinds)
    if (text.starts_with(kind.start)) return kind.what;
  if (text.size() > 1 && (text[0] == '\0') != (text[1] == '\0')) return kUtf16;
  const std::string_view content = without_byte_order_mark(text);
  const size_t first = content.find_first_not_of(kSpace);
  if (first != std::string_view::npos && content[first] == '<')
    return "it is a web page or XML, no JSON; did a download fail?";
  try {
    Walk(content).run();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace tessera::json
