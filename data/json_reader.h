// Reading large JSON files front to back with simdjson: nothing is kept but what the caller takes.
//
// Every error becomes a tessera::Error that says where: "file: annotations[3]: bbox: a number is expected".
#pragma once

#include <simdjson.h>

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"
#include "tensor/tensor.h"

namespace tessera::json {

using Value = simdjson::ondemand::value;

// Each throws Error saying what is expected. Strings live as long as the document.
i64 read_integer(Value value);  // 17, also 17.0
double read_number(Value value);
std::string_view read_string(Value value);
void read_numbers(Value value, std::vector<double>& numbers);  // appends
void read_integers(Value value, std::vector<i64>& integers);   // appends
void read_exactly(Value value, std::span<double> numbers);     // an array of numbers.size() numbers
bool is_null(Value& value);

// Runs f and puts the place before the message of whatever it throws.
template <class F>
void at_place(std::string_view place, F&& f) {
  try {
    f();
  } catch (const simdjson::simdjson_error& error) {
    fail("{}: {}", place, error.what());
  } catch (const Error& error) {
    fail("{}: {}", place, error.what());
  }
}

// f(key, value) for every field of an object. The loop is the inner one of all reading, so the place is only put
// together when something is wrong.
template <class Object, class F>
void for_each_field(Object&& object, F&& f) {
  for (auto item : object.get_object()) {
    const std::string_view key = item.unescaped_key();
    at_place(key, [&] { f(key, Value(item.value())); });
  }
}

// f(value) for every element of an array; the place of an error is "[n]".
template <class Array, class F>
void for_each_element(Array&& array, F&& f) {
  i64 n = 0;
  try {
    for (auto item : array.get_array()) {
      f(Value(std::move(item)));
      ++n;
    }
  } catch (const simdjson::simdjson_error& error) {
    fail("[{}]: {}", n, error.what());
  } catch (const Error& error) {
    fail("[{}]: {}", n, error.what());
  }
}

// A file being read.
class Document {
 public:
  explicit Document(const std::filesystem::path& path);

  // The top level as an object or as an array. Errors are prefixed with the path; text after the end is an error.
  template <class F>
  void for_each_field(F&& f) {
    at_place(name_, [&] {
      json::for_each_field(start(), f);
      check_end();
    });
  }
  template <class F>
  void for_each_element(F&& f) {
    at_place(name_, [&] {
      json::for_each_element(start(), f);
      check_end();
    });
  }

 private:
  simdjson::ondemand::document& start();
  void check_end();

  std::string name_;
  simdjson::padded_string text_;
  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
};

}  // namespace tessera::json
