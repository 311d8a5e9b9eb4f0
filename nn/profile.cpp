#include "nn/profile.h"

#include <cxxabi.h>

#include <chrono>
#include <cstdlib>
#include <typeinfo>
#include <unordered_map>

namespace tessera::nn {

namespace {

using Clock = std::chrono::steady_clock;

// The name of a class without its namespaces.
std::string class_name(const Module& module) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(typeid(module).name(), nullptr, nullptr, &status), &std::free);
  const std::string name = text ? text.get() : typeid(module).name();
  const size_t colons = name.rfind("::");
  return colons == std::string::npos ? name : name.substr(colons + 2);
}

struct Place {
  ModuleRun run;
  size_t parent;
};

// Puts a module and all below it into a list, parents first.
class TreeVisitor : public Visitor {
 public:
  TreeVisitor(std::vector<Place>& places, std::unordered_map<const Module*, size_t>& index)
      : places_(places), index_(index) {}

  void parameter(const std::string&, Var& var, Layout) override {
    if (!var) return;
    places_[here_].run.parameters += var.value().numel();
    if (var.requires_grad()) places_[here_].run.trainable += var.value().numel();
  }
  void buffer(const std::string&, Tensor&) override {}
  void child(const std::string& name, Module& module) override {
    if (name.empty()) return module.visit(*this);
    const size_t parent = here_;
    const std::string& prefix = places_[parent].run.name;
    enter(module, prefix.empty() ? name : prefix + "." + name, places_[parent].run.depth + 1, parent);
    here_ = parent;
  }
  void enter(Module& module, const std::string& name, int depth, size_t parent) {
    here_ = places_.size();
    Place& place = places_.emplace_back();
    place.run.name = name;
    place.run.kind = class_name(module);
    place.run.depth = depth;
    place.parent = parent;
    index_.emplace(&module, here_);
    module.visit(*this);
  }

 private:
  std::vector<Place>& places_;
  std::unordered_map<const Module*, size_t>& index_;
  size_t here_ = 0;
};

class Profiler;
constinit thread_local Profiler* profiler = nullptr;

// Work and time are charged to the module that runs innermost, and added up along the tree at the end.
class Profiler : private WorkListener {
 public:
  explicit Profiler(Module& root) : outer_(profiler) {
    TreeVisitor(places_, index_).enter(root, "", 0, 0);
    profiler = this;
    stack_.push_back(0);
    places_[0].run.calls = 1;
    last_ = Clock::now();
  }
  ~Profiler() override { profiler = outer_; }

  void enter(const Module& module) {
    charge_time();
    const auto found = index_.find(&module);
    const bool known = found != index_.end();
    stack_.push_back(known ? found->second : stack_.back());  // one outside the tree counts for whoever called it
    if (known) ++places_[stack_.back()].run.calls;
  }
  void leave() {
    charge_time();
    stack_.pop_back();
  }
  void ran(const char*, const Work& work, const Shape& result) override {
    places_[stack_.back()].run.work += work;
    const bool outside = stack_.size() == 1;  // of all modules
    modules_ran_ |= !outside;
    if (outside && modules_ran_) return;  // post-processing
    for (const size_t place : stack_) places_[place].run.output = result;
  }

  std::vector<ModuleRun> result() {
    charge_time();
    for (size_t i = places_.size(); i-- > 0;) {  // children stand behind their parents
      ModuleRun& run = places_[i].run;
      run.seconds += run.own_seconds;
      if (i == 0) break;
      ModuleRun& parent = places_[places_[i].parent].run;
      parent.parameters += run.parameters;
      parent.trainable += run.trainable;
      parent.work += run.work;
      parent.seconds += run.seconds;
    }
    std::vector<ModuleRun> runs;
    for (Place& place : places_) runs.push_back(std::move(place.run));
    return runs;
  }

 private:
  void charge_time() {
    const Clock::time_point now = Clock::now();
    places_[stack_.back()].run.own_seconds += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

  Profiler* outer_;
  std::vector<Place> places_;
  std::unordered_map<const Module*, size_t> index_;
  std::vector<size_t> stack_;  // of modules that run, the innermost last
  bool modules_ran_ = false;
  Clock::time_point last_;
};

}  // namespace

Running::Running(const Module& module) {
  if (profiler) profiler->enter(module);
}

Running::~Running() {
  if (profiler) profiler->leave();
}

std::vector<ModuleRun> profile(Module& root, const std::function<void()>& pass) {
  Profiler listener(root);
  pass();
  return listener.result();
}

}  // namespace tessera::nn
