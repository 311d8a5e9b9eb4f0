// Fields: a struct of settings lists its members once, in fields(): the member, whose name is the option's, its
// meaning, and the values it may have.
//
//   struct OptimizerConfig {
//     double lr = 5e-5;
//     std::array<double, 2> betas = {0.9, 0.999};
//     template <class Field>
//     void fields(Field&& field) {
//       TESSERA_FIELD(lr, "learning rate of a batch of 64 images", at_least(0));
//       TESSERA_FIELD(betas, "decay of both moments", at_least(0).below(1));  // holds for each value of a list
//     }
//   };
//
// A member with fields() is a section, a std::vector of them a list of tables; a std::optional may be absent. All
// else follows: reading, errors, writing, `tessera train --help-options`, docs/options.md (train/options.h), and for a
// struct that a program filled check_fields(). Where members belong to one kind of thing, `field.every_kind` wants all.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <limits>
#include <string>
#include <type_traits>

#include "tensor/error.h"

// In fields(Field&& field): the member's name stands before the member, so that the two cannot differ.
#define TESSERA_FIELD(member, ...) field(#member, member, __VA_ARGS__)

namespace tessera {

// The numbers that a field may have; without bounds every finite one.
struct Interval {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool has_low = false, has_high = false;  // belong the bounds to it?
  int step = 1;                            // above 1: whole multiples of it alone

  constexpr Interval at_most(double bound) const { return {low, bound, has_low, true, step}; }
  constexpr Interval below(double bound) const { return {low, bound, has_low, false, step}; }
  constexpr Interval multiple_of(int number) const { return {low, high, has_low, has_high, number}; }
  bool contains(double value) const;
  std::string str() const;  // "at least 0 and below 1"; empty without bounds
};
constexpr Interval at_least(double bound) {
  return {.low = bound, .has_low = true};
}
constexpr Interval above(double bound) {
  return {.low = bound};
}
constexpr Interval between(double low, double high) {  // both included
  return at_least(low).at_most(high);
}

namespace detail {

struct FieldCheck {
  static constexpr bool every_kind = false;
  std::string prefix;  // "sparseinst: decoder."

  template <class T>
  void operator()(const std::string& name, T& value, const std::string& meaning, const Interval& allowed = {}) const {
    if constexpr (requires { value.fields(*this); }) {
      value.fields(FieldCheck{prefix + name + "."});
    } else if constexpr (std::is_arithmetic_v<T> && !std::same_as<T, bool>) {
      TESSERA_CHECK(allowed.contains(static_cast<double>(value)), "{}{} must be {}, got {}", prefix, name,
                    allowed.str().empty() ? "finite" : allowed.str(), value);
    } else if constexpr (requires { value.has_value(); }) {
      if (value) (*this)(name, *value, meaning, allowed);
    } else if constexpr (requires { value.data()->fields(*this); }) {
      for (auto& part : value) part.fields(FieldCheck{fmt::format("{}{}[{}].", prefix, name, &part - &value[0])});
    } else if constexpr (requires { requires std::is_arithmetic_v<std::remove_cvref_t<decltype(*value.data())>>; }) {
      for (auto& element : value) (*this)(name, element, meaning, allowed);
    }
  }
};

}  // namespace detail

// The same struct; throws for a number outside of what its declaration allows. `owner` begins the message.
template <class T>
T check_fields(const std::string& owner, T config) {
  config.fields(detail::FieldCheck{owner + ": "});
  return config;
}

}  // namespace tessera
