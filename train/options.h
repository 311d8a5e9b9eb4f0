// Options: the fields of a configuration's structs (tensor/fields.h) by their full names, "optimizer.lr". Reading,
// checking, overriding, writing and the list that `tessera train --help-options` prints follow from fields().
//
// An option is a bool, an integer, a number, a string, an enum with names_of (found by its namespace), a std::vector or
// std::array of these, or a std::vector of structs with fields(), which is a list of tables:
//
//   enum class Kind { kAdamW, kSgd };
//   inline auto names_of(Kind) { return std::array{std::pair{"adamw", Kind::kAdamW}, std::pair{"sgd", Kind::kSgd}}; }
//
// Settings come from TOML text and from the command line; one that names no option, has the wrong type or lies outside
// of what the field allows is an error that tells where it stands and what was expected.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/fields.h"

namespace tessera {

// A value as TOML knows it. monostate stands for an empty section, and for an absent value.
struct OptionValue {
  struct Entry;
  using Table = std::vector<Entry>;
  std::variant<std::monostate, bool, i64, double, std::string, std::vector<OptionValue>, Table> data;
  std::string toml() const;  // as TOML text: true, 5e-05, "text", [1, 2], {a = 1}; monostate is an empty text
};
struct OptionValue::Entry {
  std::string name;
  OptionValue value;
};

struct Option {
  std::string name;             // "optimizer.lr"
  std::string meaning;          // one line
  std::string expected;         // "a number, at least 0"
  std::string section_meaning;  // of "optimizer"
  std::function<OptionValue()> get;
  std::function<bool(const OptionValue& value)> set;  // changes nothing and is false where the value is not as expected

  std::string section() const;  // "optimizer"; empty at the root
  std::string key() const;      // "lr"
};

struct Setting {
  std::string name;
  OptionValue value;
  std::string where;  // "configs/tiny.toml:12", "--set"
};

// The settings of TOML text, in its order. `origin` names the text in errors. A root key `base = "NAME"` is replaced by
// the settings of that configuration; they come first, so that this text overrides them. NAME is a file, relative to
// `folder`, or what find_config takes (train/named_config.h).
std::vector<Setting> parse_settings(const std::string& text, const std::string& origin,
                                    const std::filesystem::path& folder);

// Those of a file, or of the configuration that find_config finds.
std::vector<Setting> read_settings(const std::filesystem::path& config);

// "a.b=value": the value is TOML; text that is no TOML value is taken as a string (--set model.name=sparseinst).
Setting parse_override(const std::string& text);

// Later settings win. Throws for unknown names (naming the nearest option) and for values that do not fit.
void apply_settings(const std::vector<Setting>& settings, std::vector<Option>& options);

// Every option with its present value, as TOML text that parse_settings reads back.
std::string to_toml(const std::vector<Option>& options);

// All options of a struct, in the order it lists them. They refer to the struct, which must outlive them. `every_kind`:
// also those that another backbone, say, would have, and those of the tables in a list ("[optimizer.groups].match").
template <class T>
std::vector<Option> options_of(T& object, bool every_kind = false);

namespace detail {

struct OptionCollector;
template <class T>
concept HasFields = requires(T& value, const OptionCollector& collector) {
  value.fields(collector);
};
template <class T>
concept Optional = requires(T& value) {
  value.has_value();
};

template <class T>
OptionValue to_value(const T& value) {
  if constexpr (HasFields<T>) {
    T copy = value;  // options refer to a struct that could be written to
    OptionValue::Table table;
    for (const Option& option : options_of(copy)) table.push_back({option.name, option.get()});
    return {std::move(table)};
  } else if constexpr (Optional<T>) {
    return value ? to_value(*value) : OptionValue{};
  } else if constexpr (std::is_enum_v<T>) {
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

// What a value must be, as errors and the list of options say it.
template <class T>
std::string expected(const Interval& allowed) {
  const auto bounded = [&](const std::string& type) {
    return allowed.str().empty() ? type : type + ", " + allowed.str();
  };
  if constexpr (HasFields<T>) {
    T object;
    std::string list;
    for (const Option& option : options_of(object))
      list += fmt::format("{}{}: {}", list.empty() ? "" : "; ", option.name, option.expected);
    return "a table {" + list + "}";
  } else if constexpr (Optional<T>) {
    return expected<typename T::value_type>(allowed);
  } else if constexpr (std::is_enum_v<T>) {
    std::string list;
    for (const auto& [name, known] : names_of(T{}))
      list += fmt::format("{}\"{}\"", list.empty() ? "one of " : ", ", name);
    return list;
  } else if constexpr (std::same_as<T, bool>) {
    return "true or false";
  } else if constexpr (std::integral<T>) {
    return bounded(std::is_unsigned_v<T> ? "a non-negative integer" : "an integer");
  } else if constexpr (std::floating_point<T>) {
    return bounded("a number");
  } else if constexpr (std::same_as<T, std::string>) {
    return "a string in quotes";
  } else if constexpr (kFixedSize<T>) {
    return fmt::format("a list of {} values, each {}", T{}.size(), expected<typename T::value_type>(allowed));
  } else {
    return "a list, each value " + expected<typename T::value_type>(allowed);
  }
}

// Takes the value where it is as expected; else false, and the target stays as it is.
template <class T>
bool from_value(const OptionValue& value, const Interval& allowed, T& target) {
  const auto take = [&]<class Given>(std::type_identity<Given>, auto&& fits) {
    const Given* given = std::get_if<Given>(&value.data);
    if (!given || !fits(*given)) return false;
    target = static_cast<T>(*given);
    return true;
  };
  if constexpr (HasFields<T>) {
    const OptionValue::Table* given = std::get_if<OptionValue::Table>(&value.data);
    T object{};
    const std::vector<Option> options = options_of(object);
    const auto takes = [&](const auto& entry) {
      const auto option = std::find_if(options.begin(), options.end(), [&](auto& o) { return o.name == entry.name; });
      return option != options.end() && option->set(entry.value);
    };
    if (!given || !std::all_of(given->begin(), given->end(), takes)) return false;
    target = object;
    return true;
  } else if constexpr (Optional<T>) {
    if (std::holds_alternative<std::monostate>(value.data)) return target.reset(), true;
    return from_value(value, allowed, target.emplace());
  } else if constexpr (std::is_enum_v<T>) {
    const std::string* given = std::get_if<std::string>(&value.data);
    for (const auto& [name, known] : names_of(T{}))
      if (given && *given == name) return target = known, true;
    return false;
  } else if constexpr (std::same_as<T, bool> || std::same_as<T, std::string>) {
    return take(std::type_identity<T>(), [](const T&) { return true; });
  } else if constexpr (std::integral<T>) {
    return take(std::type_identity<i64>(),
                [&](i64 given) { return std::in_range<T>(given) && allowed.contains(static_cast<double>(given)); });
  } else if constexpr (std::floating_point<T>) {
    const auto fits = [&](auto given) { return allowed.contains(static_cast<double>(given)); };
    return take(std::type_identity<i64>(), fits) || take(std::type_identity<double>(), fits);
  } else {
    const std::vector<OptionValue>* given = std::get_if<std::vector<OptionValue>>(&value.data);
    T list{};
    if (!given || (kFixedSize<T> && given->size() != list.size())) return false;
    if constexpr (!kFixedSize<T>) list.resize(given->size());
    for (size_t i = 0; i < given->size(); ++i) {
      typename T::value_type element{};  // vector<bool> has no references to elements
      if (!from_value((*given)[i], allowed, element)) return false;
      list[i] = element;
    }
    target = list;
    return true;
  }
}

// What a struct's fields() is called with.
struct OptionCollector {
  std::string prefix, section_meaning;
  std::vector<Option>& options;
  bool every_kind;

  template <class T>
  void operator()(const std::string& name, T& value, const std::string& meaning, const Interval& allowed = {}) const {
    if constexpr (HasFields<T>) {
      value.fields(OptionCollector{prefix + name + ".", meaning, options, every_kind});
    } else {
      options.push_back({.name = prefix + name,
                         .meaning = meaning,
                         .expected = expected<T>(allowed),
                         .section_meaning = section_meaning,
                         .get = [&value] { return to_value(value); },
                         .set = [&value, allowed](const auto& given) { return from_value(given, allowed, value); }});
      if constexpr (requires { requires HasFields<typename T::value_type>; }) {
        static typename T::value_type table;  // what the options of a table refer to
        if (every_kind) table.fields(OptionCollector{"[" + prefix + name + "].", meaning, options, true});
      }
    }
  }
};

}  // namespace detail

template <class T>
std::vector<Option> options_of(T& object, bool every_kind) {
  std::vector<Option> options;
  object.fields(detail::OptionCollector{"", "", options, every_kind});
  return options;
}

}  // namespace tessera
