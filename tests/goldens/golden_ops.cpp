#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

std::map<std::string, GoldenOp>& table() {
  static std::map<std::string, GoldenOp> ops;
  return ops;
}

}  // namespace

const Var& GoldenCall::optional(const std::string& name) {
  return inputs[name];
}

const Var& GoldenCall::operator[](const std::string& name) {
  const auto found = inputs.find(name);
  TESSERA_CHECK(found != inputs.end(), "the case has no input '{}'", name);
  return found->second;
}

bool add_golden_ops(const std::map<std::string, GoldenOp>& ops) {
  for (const auto& [name, op] : ops) TESSERA_CHECK(table().emplace(name, op).second, "'{}' is there twice", name);
  return true;
}

const GoldenOp* find_golden_op(const std::string& name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : &found->second;
}

}  // namespace tessera::goldens
