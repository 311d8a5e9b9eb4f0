#include "nn/module.h"

#include <fmt/ranges.h>

#include <set>
#include <utility>

#include "ops/reduce.h"
#include "tensor/first_few.h"

namespace tessera::nn {

namespace {

// Everything below a module in visiting order, with dotted names.
class StateVisitor : public Visitor {
 public:
  explicit StateVisitor(std::vector<StateEntry>& entries, std::string prefix = "")
      : entries_(entries), prefix_(std::move(prefix)), first_(std::ssize(entries)) {}

  void parameter(const std::string& name, Var& var, Layout layout) override {
    if (var) add({prefix_ + name, var.value(), &var, layout});
  }
  void buffer(const std::string& name, Tensor& tensor) override {
    if (tensor) add({prefix_ + name, tensor, nullptr, Layout::kSame});
  }
  void child(const std::string& name, Module& module) override {
    if (name.empty()) {
      const bool outer = std::exchange(in_part_, true);
      module.visit(*this);
      in_part_ = outer;
      return;
    }
    StateVisitor below(entries_, prefix_ + name + ".");
    module.visit(below);
  }

 private:
  void add(StateEntry entry) {
    entries_.insert(in_part_ ? entries_.begin() + first_++ : entries_.end(), std::move(entry));
  }

  std::vector<StateEntry>& entries_;
  std::string prefix_;
  std::ptrdiff_t first_;  // where the next entry of a child without a name goes
  bool in_part_ = false;
};

// Calls f with every child.
template <class F>
class ChildVisitor : public Visitor {
 public:
  explicit ChildVisitor(F f) : f_(std::move(f)) {}
  void parameter(const std::string&, Var&, Layout) override {}
  void buffer(const std::string&, Tensor&) override {}
  void child(const std::string&, Module& module) override { f_(module); }

 private:
  F f_;
};

template <class F>
void for_children(Module& module, F f) {
  ChildVisitor<F> visitor(std::move(f));
  module.visit(visitor);
}

class DeviceVisitor : public Visitor {
 public:
  explicit DeviceVisitor(Device device) : device_(device) {}
  void parameter(const std::string&, Var& var, Layout) override {
    if (var) var.value() = var.value().to(device_);
  }
  void buffer(const std::string&, Tensor& tensor) override {
    if (tensor) tensor = tensor.to(device_);
  }
  void child(const std::string&, Module& module) override { module.visit(*this); }

 private:
  Device device_;
};

// The device of the first tensor.
struct DeviceOf : Visitor {
  std::optional<Device> found;
  void parameter(const std::string&, Var& var, Layout) override {
    if (!found && var) found = var.value().device();
  }
  void buffer(const std::string&, Tensor& tensor) override {
    if (!found && tensor) found = tensor.device();
  }
  void child(const std::string&, Module& module) override {
    if (!found) module.visit(*this);
  }
};

// [O, A, B, C] -> [O, B, C, A] (forth) or back, for any dtype.
Tensor transpose_convolution(const Tensor& x, bool forth) {
  TESSERA_CHECK(x.rank() == 4, "convolution weight: four dimensions expected, got {}", x.shape());
  const i64 O = x.dim(0), I = forth ? x.dim(1) : x.dim(3), P = x.numel() / std::max<i64>(1, O * I);
  const Shape shape = forth ? Shape{O, x.dim(2), x.dim(3), I} : Shape{O, I, x.dim(1), x.dim(2)};
  const i64 rows = forth ? I : P, columns = forth ? P : I;  // of the matrix that is transposed, once per output channel
  const Tensor source = x.to_host();
  Tensor result = Tensor::empty(shape, x.dtype());
  const size_t size = size_of(x.dtype());
  const auto* from = static_cast<const std::byte*>(source.raw());
  auto* to = static_cast<std::byte*>(result.raw());
  for (i64 o = 0; o < O; ++o)
    for (i64 r = 0; r < rows; ++r)
      for (i64 c = 0; c < columns; ++c)
        std::copy_n(from + static_cast<size_t>((o * rows + r) * columns + c) * size, size,
                    to + static_cast<size_t>((o * columns + c) * rows + r) * size);
  return result.to(x.device());
}

std::string listed(const std::vector<std::string>& names) {
  return first_few(names, names.size(), 8);
}

// The module at the top that a tensor lies in: "backbone.*"; of a parameter of the whole its name.
std::string module_of(const std::string& name) {
  const size_t dot = name.find('.');
  return dot == std::string::npos ? name : name.substr(0, dot + 1) + "*";
}

}  // namespace

void Module::train(bool on) {
  if (on) unfuse();
  set_training(on);
}

void Module::set_training(bool on) {
  training_ = on;
  for_children(*this, [on](Module& child) { child.set_training(on); });
}

void Module::fuse(const InferenceOptions& options) {
  for_children(*this, [&](Module& child) { child.fuse(options); });
}

void Module::unfuse() {
  for_children(*this, [](Module& child) { child.unfuse(); });
}

void Module::to(Device device) {
  unfuse();
  DeviceVisitor visitor(device);
  visit(visitor);
}

Device Module::device() {
  DeviceOf visitor;
  visit(visitor);
  return visitor.found.value_or(Device());
}

void Module::zero_grad() {
  for (auto& [name, parameter] : named_parameters(*this)) parameter->zero_grad();
}

void Module::freeze() {
  for (auto& [name, parameter] : named_parameters(*this)) parameter->set_requires_grad(false);
}

void fuse_for_inference(Module& module, const InferenceOptions& options) {
  TESSERA_CHECK(options.dtype == DType::kF32 || options.dtype == DType::kBF16,
                "inference: activations are f32 or bf16, not {}", name_of(options.dtype));
  TESSERA_CHECK(options.dtype == DType::kF32 || module.device().kind != DeviceKind::kCpu,
                "inference: the CPU has no kernels for bf16 activations; compute on a device (--device cuda), or with "
                "bf16 products (--precision medium)");
  const NoGrad no_grad;
  module.eval();
  module.unfuse();
  module.fuse(options);
}

std::vector<StateEntry> state(Module& module) {
  std::vector<StateEntry> entries;
  StateVisitor visitor(entries);
  module.visit(visitor);
  std::set<std::string> seen;
  for (const StateEntry& entry : entries)
    TESSERA_CHECK(seen.insert(entry.name).second, "module: two parameters are called {}", entry.name);
  return entries;
}

std::vector<std::pair<std::string, Var*>> named_parameters(Module& module) {
  std::vector<std::pair<std::string, Var*>> parameters;
  for (const StateEntry& entry : state(module))
    if (entry.parameter) parameters.emplace_back(entry.name, entry.parameter);
  return parameters;
}

i64 count_parameters(Module& module, bool trainable_only) {
  i64 count = 0;
  for (const auto& [name, parameter] : named_parameters(module))
    if (!trainable_only || parameter->requires_grad()) count += parameter->value().numel();
  return count;
}

std::vector<NamedTensor> state_dict(Module& module) {
  std::vector<NamedTensor> tensors;
  for (const StateEntry& entry : state(module)) tensors.push_back({entry.name, entry.tensor});
  return tensors;
}

std::string LoadReport::str() const {
  struct Part {
    size_t loaded = 0, total = 0;
    std::vector<std::string> missing;
  };
  std::map<std::string, Part> modules;
  for (const std::string& name : loaded) ++modules[module_of(name)].loaded, ++modules[module_of(name)].total;
  for (const std::string& name : mismatched) ++modules[module_of(name.substr(0, name.find(':')))].total;
  for (const std::string& name : missing) {
    Part& part = modules[module_of(name)];
    ++part.total;
    part.missing.push_back(name);
  }
  std::vector<std::string> parts;
  for (const auto& [module, part] : modules) {
    const bool all = part.missing.size() == part.total;
    parts.push_back(all ? fmt::format("{}: {} missing", module, part.total)
                        : fmt::format("{}: {} of {} loaded", module, part.loaded, part.total));
    if (!all && !part.missing.empty()) parts.back() += ", missing " + listed(part.missing);
  }
  if (!mismatched.empty()) parts.push_back("of another shape: " + listed(mismatched));
  if (!unexpected.empty()) parts.push_back("not in the model: " + listed(unexpected));
  return fmt::format("{}", fmt::join(parts, "; "));
}

LoadReport load_state(Module& module, const std::vector<NamedTensor>& tensors, Strictness strictness,
                      bool reference_layout, const std::function<std::string(const std::string&)>& rename) {
  std::map<std::string, const Tensor*> file;
  for (const NamedTensor& entry : tensors) {
    const std::string name = rename ? rename(entry.name) : entry.name;
    if (name.empty()) continue;
    TESSERA_CHECK(file.emplace(name, &entry.tensor).second, "load_state: two tensors of the file are called {}", name);
  }
  LoadReport report;
  std::vector<std::pair<StateEntry, Tensor>> copies;  // nothing is written before all of them are known to fit
  std::vector<std::string> not_finite;
  for (StateEntry& entry : state(module)) {
    const auto found = file.find(entry.name);
    if (found == file.end()) {
      report.missing.push_back(entry.name);
      continue;
    }
    Tensor source = *found->second;
    file.erase(found);
    const bool transpose = reference_layout && entry.layout != Layout::kSame && source.rank() == 4;
    if (transpose) source = to_ours(source, entry.layout);
    if (source.shape() != entry.tensor.shape()) {
      report.mismatched.push_back(
          fmt::format("{}: file {}, model {}", entry.name, source.shape(), entry.tensor.shape()));
      continue;
    }
    source = source.to(entry.tensor.dtype());
    if (!ops::all_finite(source)) not_finite.push_back(entry.name);
    report.loaded.push_back(entry.name);
    copies.emplace_back(std::move(entry), std::move(source));
  }
  for (const auto& [name, tensor] : file) report.unexpected.push_back(name);

  const bool exact = report.missing.empty() && report.unexpected.empty() && report.mismatched.empty();
  TESSERA_CHECK(exact || strictness == Strictness::kMatching, "load_state: the weights do not fit the model; {}",
                report.str());
  TESSERA_CHECK(not_finite.empty(), "load_state: not all values are finite in {}", listed(not_finite));
  module.unfuse();
  for (auto& [entry, source] : copies) entry.tensor.copy_from(source.to(entry.tensor.device()));
  return report;
}

Tensor to_ours(const Tensor& theirs, Layout layout) {
  return layout == Layout::kSame ? theirs : transpose_convolution(theirs, true);
}

Tensor to_theirs(const Tensor& ours, Layout layout) {
  return layout == Layout::kSame ? ours : transpose_convolution(ours, false);
}

}  // namespace tessera::nn
