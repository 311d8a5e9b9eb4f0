// The operators that golden cases can name: one table from name to function, through autograd. A family's file adds its
// own (*_golden_ops.cpp, listed in CMakeLists.txt, nothing else changes).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tests/goldens/golden_case.h"

namespace tessera::goldens {

// What an operator's function sees: attributes, inputs by name in our layout (undefined when the case has none), and
// for the optimisers the prefix of generated gradients and the shape of the stored result.
struct GoldenCall {
  const Attributes& attributes;
  std::map<std::string, Var> inputs;
  std::string prefix;
  Shape result;

  const Var& optional(const std::string& name);    // undefined when absent
  const Var& operator[](const std::string& name);  // throws when absent
};

struct GoldenOp {
  // Inputs and outputs that PyTorch lays out with the channels at dimension 1 and we with the channels last: feature
  // maps NCHW and convolution weights OIHW. The rule belongs to the operator, never to the shape.
  std::set<std::string> channels_second;
  std::function<std::vector<Var>(GoldenCall& call)> run;
};

bool add_golden_ops(const std::map<std::string, GoldenOp>& ops);  // throws when a name is there already

// Null when the operator is not there yet.
const GoldenOp* find_golden_op(const std::string& name);

}  // namespace tessera::goldens
