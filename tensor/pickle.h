// Python pickles, read as data: nothing in them is ever executed.
//
// A pickle is a program for a small stack machine. Its dangerous instructions import a name and call it; here the name
// must be one that the reader allows, and a call stays a note "this function, these arguments" for the reader to make
// sense of. Any other name is refused. Protocols 2 to 5; sizes and memory are bounded by the bytes that are there.
// Source: the comments of CPython's Lib/pickletools.py.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/dtype.h"

namespace tessera::pickle {

struct Value {
  enum class Kind : u8 {
    kNone,
    kBool,        // integer
    kInteger,     // integer
    kLong,        // text: the little-endian bytes of an integer beyond 64 bits
    kFloat,       // number
    kText,        // text: UTF-8, or whatever bytes a string of Python 2 has
    kBytes,       // text
    kTuple,       // items
    kList,        // items; also a set
    kDict,        // items: key, value, key, value, ...
    kGlobal,      // text: "module.name"
    kCall,        // function(arguments), then filled with `items` as a list or a dict and given `state`
    kPersistent,  // arguments: the id of something that lies outside the pickle
  };
  Kind kind = Kind::kNone;
  i64 integer = 0;
  double number = 0;
  std::string_view text;  // of the pickle's bytes, or of the list of allowed names
  std::vector<const Value*> items;
  const Value *function = nullptr, *arguments = nullptr, *state = nullptr;

  bool is(Kind other) const { return kind == other; }
  bool calls(std::string_view name) const { return kind == Kind::kCall && function->text == name; }
};

// Values may refer to one another in circles: whoever walks them counts the depth.
class Pickle {
 public:
  // Reads the pickle at the start of `bytes`, which must outlive it; `where` begins messages. Of the names that a
  // pickle may import only `globals` are allowed ("collections.OrderedDict").
  Pickle(std::string_view bytes, const std::string& where, std::span<const std::string_view> globals);

  const Value& root() const { return *root_; }
  const std::deque<Value>& values() const { return values_; }  // all, also those that the root does not reach
  size_t size() const { return size_; }                        // bytes read; others may follow

 private:
  friend class Machine;
  std::deque<Value> values_;
  const Value* root_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tessera::pickle
