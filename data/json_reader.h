// Reading large JSON files front to back with simdjson: nothing is kept but what the caller takes.
//
// Every error becomes a tessera::Error that says where: "file: annotations[3]: id: an integer is expected, not null".
// When a file is no JSON at all, that is what the error says, with the line of the first mistake (data/json_fault.h).
#pragma once

#include <omp.h>
#include <simdjson.h>

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/json_fault.h"
#include "data/parallel.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "tensor/tensor.h"

namespace tessera::json {

using Value = simdjson::ondemand::value;

// What is needed of a file is read with read_...: each throws Error saying what is expected, and what is there. What
// only some uses need is read with find_...: nothing when it is something else. Strings live as long as the document.
i64 read_integer(Value value);  // 17, also 17.0
double read_number(Value value);
bool read_flag(Value value);  // true, false, 1, 0; null is false
std::string_view read_string(Value value);
void read_numbers(Value value, std::vector<double>& numbers);  // appends
void read_integers(Value value, std::vector<i64>& integers);   // appends
void read_exactly(Value value, std::span<double> numbers);     // a list of numbers.size() numbers
std::optional<i64> find_integer(Value value);
std::optional<double> find_number(Value value);
std::optional<std::string_view> find_string(Value value);
std::optional<size_t> find_numbers(Value value, std::span<double> numbers);  // as many as fit; how many there are
bool is_null(Value value);
std::string_view text_of(Value value);  // as it stands in the file; reads the value, which can be done once
std::string in_words(Value value);      // for messages: "null", "a list", "the string "17"", "NaN (...)"

const char* in_words(simdjson::error_code error);    // never those of the parser
std::string token_in_words(std::string_view token);  // of a value, from its first character

// Runs f and calls on_error(message) with the message of whatever it throws.
template <class F, class OnError>
void catch_message(F&& f, OnError&& on_error) {
  try {
    f();
  } catch (const simdjson::simdjson_error& error) {
    on_error(in_words(error.error()));
  } catch (const Error& error) {
    on_error(error.what());
  }
}

// "place: message"; a message that goes on with the place, "[3]: ..." or " (id 7): ...", follows it at once.
std::string joined(std::string_view place, std::string_view message);

// Runs f and puts the place before the message of whatever it throws.
template <class F>
void at_place(std::string_view place, F&& f) {
  catch_message(f, [&](std::string_view message) { throw_error(joined(place, message)); });
}

// The object or the array that a value or a document is.
template <class Source>
simdjson::ondemand::object read_object(Source&& source) {
  simdjson::ondemand::object object;
  const simdjson::error_code error = source.get_object().get(object);
  TESSERA_CHECK(error != simdjson::INCORRECT_TYPE, "an object {{...}} is expected, not {}",
                token_in_words(std::string_view(source.raw_json_token())));
  TESSERA_CHECK(error == simdjson::SUCCESS, "{}", in_words(error));
  return object;
}
template <class Source>
simdjson::ondemand::array read_array(Source&& source) {
  simdjson::ondemand::array array;
  const simdjson::error_code error = source.get_array().get(array);
  TESSERA_CHECK(error != simdjson::INCORRECT_TYPE, "a list [...] is expected, not {}",
                token_in_words(std::string_view(source.raw_json_token())));
  TESSERA_CHECK(error == simdjson::SUCCESS, "{}", in_words(error));
  return array;
}

// f(key, value) for every field of an object. The loop is the inner one of all reading, so the place is only put
// together when something is wrong.
template <class Object, class F>
void for_each_field(Object&& object, F&& f) {
  for (auto item : read_object(object)) {
    const std::string_view key = item.unescaped_key();
    at_place(key, [&] { f(key, Value(item.value())); });
  }
}

// f(value) for every element of an array; the place of an error is "[n]".
template <class Array, class F>
void for_each_element(Array&& array, F&& f) {
  simdjson::ondemand::array elements = read_array(array);
  i64 n = 0;
  const auto read = [&] {
    for (auto item : elements) {
      f(Value(std::move(item)));
      ++n;
    }
  };
  catch_message(read, [&](std::string_view message) { throw_error(joined(fmt::format("[{}]", n), message)); });
}

void check_end(simdjson::ondemand::document& document);  // throws unless all of the text has been read

// A file being read. A byte-order mark at its front is passed over.
class Document {
 public:
  explicit Document(const std::filesystem::path& path);

  // The top level as an object or as an array. Errors are prefixed with the path; text after the end is an error.
  template <class F>
  void for_each_field(F&& f) {
    read([&] { json::for_each_field(start('{'), f); });
  }
  template <class F>
  void for_each_element(F&& f) {
    read([&] { json::for_each_element(start('['), f); });
  }

 private:
  template <class F>
  void read(F&& f) {
    catch_message(
        [&] {
          f();
          check_end(document_);
        },
        [&](std::string_view message) { fail_with(message); });
  }
  simdjson::ondemand::document& start(char bracket);
  [[noreturn]] void fail_with(std::string_view message) const;  // or with what is wrong with the whole file

  std::string name_;
  simdjson::padded_string text_;
  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
};

// A piece of an array's text, read as if it were a whole array. One object serves many pieces.
class ArrayPiece {
 public:
  // The piece lacks the bracket at its front or back when it is cut there. Throws unless it is whole elements.
  template <class F>
  void for_each_element(std::string_view text, bool cut_front, bool cut_back, F&& f) {
    at_place("piece", [&] {
      json::for_each_element(start(text, cut_front, cut_back), f);
      check_end(document_);
    });
  }

 private:
  simdjson::ondemand::document& start(std::string_view text, bool cut_front, bool cut_back);

  std::string buffer_;
  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
};

// Commas of a text, a megabyte or so apart, that look as if they stood between objects of a top-level array.
std::vector<size_t> presumed_cuts(std::string_view text);

// Reads a file that is one array of objects on all threads: f(value, part) for every element, in order within a part;
// the parts come back in order. Part starts default-constructed.
//
// The cuts are guessed. If every piece reads as whole elements then every cut was right: the first piece starts where
// it should, and a piece that does ends between elements, where the next one starts. If one does not, the guess or the
// file was wrong: the file is read once more from front to back, into one part, which settles it and names the bad
// element.
template <class Part, class F>
std::vector<Part> read_array_in_parts(const std::filesystem::path& path, F&& f) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string_view text = without_byte_order_mark({file->data(), file->size()});
  const std::vector<size_t> cuts = presumed_cuts(text);
  std::vector<Part> parts(cuts.size() + 1);
  std::vector<ArrayPiece> pieces(static_cast<size_t>(omp_get_max_threads()));
  const auto read_part = [&](i64 i) {
    const bool cut_front = i > 0, cut_back = i < static_cast<i64>(cuts.size());
    const size_t begin = cut_front ? cuts[i - 1] + 1 : 0, end = cut_back ? cuts[i] : text.size();
    pieces[omp_get_thread_num()].for_each_element(text.substr(begin, end - begin), cut_front, cut_back,
                                                  [&](Value value) { f(value, parts[i]); });
  };
  try {
    parallel_for(static_cast<i64>(parts.size()), read_part, 1);
    return parts;
  } catch (const Error&) {
    std::vector<Part> whole(1);
    Document(path).for_each_element([&](Value value) { f(value, whole[0]); });
    return whole;
  }
}

}  // namespace tessera::json
