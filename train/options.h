// Options: a struct lists each of its options once; reading, checking, overriding and writing follow from that list.
//
//   enum class Kind { kAdamW, kSgd };
//   inline auto names_of(Kind) { return std::array{std::pair{"adamw", Kind::kAdamW}, std::pair{"sgd", Kind::kSgd}}; }
//   struct OptimizerConfig {
//     Kind kind = Kind::kAdamW;
//     double lr = 5e-5;
//     template <class Field>
//     void fields(Field&& field) {
//       field("kind", kind);
//       field("lr", lr);
//     }
//   };
//   struct Config {
//     OptimizerConfig optimizer;
//     template <class Field>
//     void fields(Field&& field) { field("optimizer", optimizer); }            // options optimizer.kind, optimizer.lr
//   };
//
// An option is a bool, an integer, a number, a string, an enum with names_of (found by its namespace), or a
// std::vector or std::array of these. Settings come from TOML text and from the command line; one that names no option
// or has the wrong type is an error that tells where it stands and what was expected.
#pragma once

#include <array>
#include <concepts>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/dtype.h"

namespace tessera {

// A value as TOML knows it. monostate stands for an empty section.
struct OptionValue {
  std::variant<std::monostate, bool, i64, double, std::string, std::vector<OptionValue>> data;
  std::string toml() const;  // as TOML text: true, 5e-05, "text", [1, 2]; monostate is an empty text
};

struct Option {
  std::string name;  // "optimizer.lr"
  std::function<OptionValue()> get;
  std::function<std::string(const OptionValue& value)> set;  // returns what was expected, empty when the value fitted
};

struct Setting {
  std::string name;
  OptionValue value;
  std::string where;  // "configs/tiny.toml:12", "--set"
};

// The settings of TOML text, in its order. `origin` names the text in errors. A root key `base = "file.toml"` is
// replaced by the settings of that file, relative to `folder`; they come first, so that this text overrides them.
std::vector<Setting> parse_settings(const std::string& text, const std::string& origin,
                                    const std::filesystem::path& folder);
std::vector<Setting> read_settings(const std::filesystem::path& path);

// "a.b=value": the value is TOML; text that is no TOML value is taken as a string (--set model.name=sparseinst).
Setting parse_override(const std::string& text);

// Later settings win. Throws for unknown names (naming the nearest option) and for values of the wrong type.
void apply_settings(const std::vector<Setting>& settings, std::vector<Option>& options);

// Every option with its present value, as TOML text that parse_settings reads back.
std::string to_toml(const std::vector<Option>& options);

// How many single-letter insertions, deletions and replacements turn a into b (Levenshtein).
size_t edit_distance(const std::string& a, const std::string& b);

namespace detail {

template <class T>
OptionValue to_value(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    for (const auto& [name, known] : names_of(T{}))
      if (known == value) return {std::string(name)};
    fail("options: an enumerator has no name");
  } else if constexpr (std::same_as<T, bool>) {
    return {value};
  } else if constexpr (std::integral<T>) {
    return {static_cast<i64>(value)};
  } else if constexpr (std::floating_point<T>) {
    return {static_cast<double>(value)};
  } else if constexpr (std::same_as<T, std::string>) {
    return {value};
  } else {
    std::vector<OptionValue> list;
    for (size_t i = 0; i < value.size(); ++i) list.push_back(to_value<typename T::value_type>(value[i]));
    return {std::move(list)};
  }
}

template <class T>
inline constexpr bool kFixedSize = requires {
  std::tuple_size<T>::value;
};

// Returns what was expected, empty when the value fitted.
template <class T>
std::string from_value(const OptionValue& value, T& target) {
  if constexpr (std::is_enum_v<T>) {
    std::string expected;
    for (const auto& [name, known] : names_of(T{})) {
      if (std::holds_alternative<std::string>(value.data) && std::get<std::string>(value.data) == name)
        return target = known, "";
      expected += fmt::format("{}\"{}\"", expected.empty() ? "one of " : ", ", name);
    }
    return expected;
  } else if constexpr (std::same_as<T, bool>) {
    const bool* given = std::get_if<bool>(&value.data);
    if (!given) return "true or false";
    target = *given;
  } else if constexpr (std::integral<T>) {
    const i64* given = std::get_if<i64>(&value.data);
    if (!given || !std::in_range<T>(*given)) return std::is_unsigned_v<T> ? "a non-negative integer" : "an integer";
    target = static_cast<T>(*given);
  } else if constexpr (std::floating_point<T>) {
    if (const i64* whole = std::get_if<i64>(&value.data)) return target = static_cast<T>(*whole), "";
    const double* given = std::get_if<double>(&value.data);
    if (!given) return "a number";
    target = static_cast<T>(*given);
  } else if constexpr (std::same_as<T, std::string>) {
    const std::string* given = std::get_if<std::string>(&value.data);
    if (!given) return "a string in quotes";
    target = *given;
  } else {
    const std::vector<OptionValue>* given = std::get_if<std::vector<OptionValue>>(&value.data);
    T list{};
    if constexpr (kFixedSize<T>) {
      if (!given || given->size() != list.size()) return fmt::format("a list of {} values", list.size());
    } else {
      if (!given) return "a list [..]";
      list.resize(given->size());
    }
    for (size_t i = 0; i < given->size(); ++i) {
      typename T::value_type element{};  // vector<bool> has no references to elements
      const std::string expected = from_value((*given)[i], element);
      if (!expected.empty()) return "a list, each value " + expected;
      list[i] = element;
    }
    target = list;
  }
  return "";
}

// What a struct's fields() is called with.
struct OptionCollector {
  std::string prefix;
  std::vector<Option>& options;

  template <class T>
  void operator()(const std::string& name, T& value) {
    if constexpr (requires { value.fields(*this); }) {
      value.fields(OptionCollector{prefix + name + ".", options});
    } else {
      options.push_back({prefix + name, [&value] { return to_value(value); },
                         [&value](const OptionValue& given) { return from_value(given, value); }});
    }
  }
};

}  // namespace detail

// All options of a struct, in the order it lists them. They refer to the struct, which must outlive them.
template <class T>
std::vector<Option> options_of(T& object) {
  std::vector<Option> options;
  object.fields(detail::OptionCollector{"", options});
  return options;
}

}  // namespace tessera
