// What a network does in a pass: which modules ran and for how long, with how much arithmetic, and what came out.
//
// A module tells that it computes with one line at the top of its operator():
//
//   Var ConvStack::operator()(Var x) const {
//     const Running running(*this);
//     ...
#pragma once

#include <functional>

#include "nn/module.h"
#include "ops/work.h"

namespace tessera::nn {

class Running {
 public:
  explicit Running(const Module& module);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

// One module of the tree that `visit` describes. Parameters, work and time hold the modules below it as well; work and
// time that no module below claims belong to the module itself.
struct ModuleRun {
  std::string name;  // "backbone.res2.0"; empty for the root
  std::string kind;  // "ResidualBlock"
  int depth = 0;     // 0 for the root
  i64 parameters = 0, trainable = 0;
  i64 calls = 0;
  Work work;
  double seconds = 0, own_seconds = 0;  // own: outside the modules below
  Shape output;                         // of the last operator that ran in it; of the whole: without post-processing
};

// Runs `pass` on this thread and tells what it did, in visiting order, the root first. The clock runs in `pass` alone.
std::vector<ModuleRun> profile(Module& root, const std::function<void()>& pass);

}  // namespace tessera::nn
