#include "tests/goldens/module_golden.h"

#include <algorithm>
#include <cmath>

#include "autograd/pointwise.h"
#include "autograd/reduce.h"
#include "tests/goldens/fill.h"

namespace tessera::goldens {

namespace {

constexpr double kZero = 1e-10;  // f64's rounding beside f32's
constexpr int kTries = 5;

double largest_of(const Tensor& x) {
  double largest = 0;
  for (const float value : x.span<float>()) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

std::string renamed(const std::string& name, const std::function<std::string(const std::string&)>& naming) {
  return naming ? naming(name) : name;
}

// |got - want| / |want|, L2 norms
double relative_l2(const Tensor& got, const Tensor& want) {
  double difference = 0, size = 0;
  for (i64 i = 0; i < want.numel(); ++i) {
    const double wanted = want.data<float>()[i];
    difference += std::pow(got.data<float>()[i] - wanted, 2);
    size += wanted * wanted;
  }
  return std::sqrt(difference / size);
}

}  // namespace

Tensor generate(const GoldenParameter& p) {
  const bool weight = p.name.ends_with("weight");
  if (p.of_norm)
    return weight || p.name.ends_with("running_var") ? fill(p.name, p.shape, 0.75, 1.25)
                                                     : fill(p.name, p.shape, -0.1, 0.1);
  if (p.name.ends_with("level_embed") || p.name.ends_with("lvl_embed")) return fill(p.name, p.shape);
  const bool deformable = p.name.ends_with("conv_offsets.weight") || p.name.ends_with("conv_offsets.bias");
  const bool sampling = p.name.ends_with("sampling_offsets.weight") || p.name.ends_with("sampling_offsets.bias");
  if (weight) {
    const i64 fan_in = p.layout == nn::Layout::kConvTransposeIOHW ? p.shape[0] : p.shape.numel(1, p.shape.rank());
    const double bound = std::sqrt(3 / static_cast<double>(fan_in)) * (deformable || sampling ? 0.3 : std::sqrt(2.0));
    return fill(p.name, p.shape, -bound, bound);
  }
  const double bound = sampling ? 2 : deformable ? 0.4 : 0.05;
  Tensor bias = fill(p.name, p.shape, -bound, bound);
  if (deformable)
    for (i64 i = 0; i < bias.numel(); ++i) {
      const i64 tap = i / 2, place = i % 2 == 0 ? tap % 3 - 1 : tap / 3 - 1;
      const double u = uniform01(fnv1a64(p.name), i);
      bias.data<float>()[i] = static_cast<float>(static_cast<double>(place) + (2 * u - 1) * bound);
    }
  return bias;
}

const std::string& ModuleGolden::text(const std::string& key) const {
  const auto found = file_.metadata().find(key);
  TESSERA_CHECK(found != file_.metadata().end(), "{}: metadata {} is missing", file_.path().string(), key);
  return found->second;
}

i64 ModuleGolden::number(const std::string& key) const {
  const std::vector<i64> all = numbers(key);
  TESSERA_CHECK(all.size() == 1, "{}: metadata {} is no number: {}", file_.path().string(), key, text(key));
  return all[0];
}

double ModuleGolden::real(const std::string& key) const {
  return std::stod(text(key));
}

bool ModuleGolden::flag(const std::string& key) const {
  const std::string& value = text(key);
  TESSERA_CHECK(value == "True" || value == "False", "{}: metadata {} is neither True nor False: {}",
                file_.path().string(), key, value);
  return value == "True";
}

std::vector<i64> ModuleGolden::numbers(const std::string& key) const {
  std::vector<i64> found;
  bool inside = false;
  for (const char c : text(key)) {
    const bool digit = c >= '0' && c <= '9';
    if (digit && !inside) found.push_back(0);
    if (digit) found.back() = 10 * found.back() + (c - '0');
    inside = digit;
  }
  return found;
}

ModuleGolden::Naming ModuleGolden::without(const std::string& start) {
  return [start](const std::string& name) { return name.starts_with(start) ? name.substr(start.size()) : name; };
}

void ModuleGolden::generate(nn::Module& module, const Naming& naming, const std::string& prefix) {
  const std::vector<nn::StateEntry> entries = nn::state(module);
  std::set<std::string> norms;  // layers whose weight is a vector
  for (const nn::StateEntry& entry : entries)
    if (entry.name.ends_with("weight") && entry.tensor.rank() == 1)
      norms.insert(entry.name.substr(0, entry.name.rfind('.')));
  std::vector<NamedTensor> values;
  for (const nn::StateEntry& entry : entries) {
    const std::string name = (prefix.empty() ? this->prefix() : prefix) + renamed(entry.name, naming);
    Tensor value = goldens::generate({name, nn::to_theirs(entry.tensor, entry.layout).shape(), entry.layout,
                                      norms.contains(entry.name.substr(0, entry.name.rfind('.')))});
    move_slightly(value, name, report_.attempt);
    values.push_back({entry.name, value});
  }
  nn::load_state(module, values, nn::Strictness::kExact, true);
  module.to(device());
}

Var ModuleGolden::input(const std::string& name, const Shape& shape, double lo, double hi, bool requires_grad) const {
  return Var(fill(prefix() + name, shape, lo, hi).to(device()), requires_grad);
}

Var ModuleGolden::map(const std::string& name, const Shape& shape, bool requires_grad) const {
  return Var(nn::to_ours(fill(prefix() + name, shape), nn::Layout::kConvOIHW).to(device()), requires_grad);
}

Var ModuleGolden::upstream(const Var& y, const std::string& name) const {
  if (y.rank() == 4) return sum(y * map(name, {y.dim(0), y.dim(3), y.dim(1), y.dim(2)}, false));
  return sum(y * input(name, y.shape(), -1, 1, false));
}

const Tensor& ModuleGolden::stored(const std::string& key) {
  compared_.insert(key);
  return file_[key];
}

Tensor ModuleGolden::as_stored(const std::string& key, const Tensor& got) {
  const Tensor& want = stored(key);
  const bool sampled = file_.metadata().contains(key + ".stride");
  const i64 step = sampled ? number(key + ".stride") : 1;
  if (sampled ? fmt::format("{}", got.shape()) != text(key + ".shape") : got.shape() != want.shape()) {
    report_.fail(title(key), fmt::format("the shape is {}", got.shape()));
    return {};
  }
  const Tensor host = got.to_host();
  Tensor values = Tensor::empty(want.shape());
  for (i64 i = 0; i < want.numel(); ++i) values.data<float>()[i] = host.data<float>()[i * step];
  return values;
}

void ModuleGolden::compare(const std::string& key, const Tensor& got, double tolerance) {
  ++cases_;
  if (const Tensor values = as_stored(key, got))
    report_.check(title(key), relative_error(values, file_[key]), tolerance);
}

void ModuleGolden::compare_map(const std::string& key, const Tensor& got) {
  compare(key, nn::to_theirs(got.to_host(), nn::Layout::kConvOIHW));
}

void ModuleGolden::compare_ids(const std::string& key, const Tensor& got) {
  const Tensor host = got.to_host(), &want = stored(key);
  report(key, host.shape() == want.shape() && std::ranges::equal(host.span<i64>(), want.span<i64>()),
         "ids must be equal");
}

void ModuleGolden::compare_gradient(const std::string& key, const Var& x, nn::Layout layout) {
  ++cases_;
  const Tensor gradient = x.grad() ? x.grad().to_host() : Tensor::zeros(x.shape());
  const Tensor values = as_stored(key, nn::to_theirs(gradient, layout));
  if (!values) return;
  const bool zero = largest_of(file_[key]) < kZero * largest_gradient();
  const double error = zero                     ? largest_of(values) / largest_gradient()
                       : tolerances.gradient_l2 ? relative_l2(values, file_[key])
                                                : relative_error(values, file_[key]);
  report_.check(title(key), error, tolerances.gradient, x.grad() ? kGradientDiffers : "no gradient arrived");
}

void ModuleGolden::compare_gradients(nn::Module& module, const Naming& naming, const std::string& before) {
  for (const nn::StateEntry& entry : nn::state(module))
    if (entry.parameter && entry.parameter->requires_grad())
      compare_gradient(before + renamed(entry.name, naming), *entry.parameter, entry.layout);
}

double ModuleGolden::largest_gradient() {
  if (largest_gradient_ == 0)
    for (const NamedTensor& one : file_.tensors())
      if (one.name.find("grad.") != std::string::npos)
        largest_gradient_ = std::max(largest_gradient_, largest_of(one.tensor));
  return largest_gradient_;
}

void move_slightly(Tensor& value, const std::string& name, int attempt) {
  if (attempt == 0) return;
  const u64 hash = fnv1a64(fmt::format("{} moved {}", name, attempt));
  float* data = value.data<float>();
  for (i64 i = 0; i < value.numel(); ++i)
    data[i] = static_cast<float>(data[i] * (1 + std::ldexp(2 * uniform01(hash, i) - 1, -22)));
}

void ModuleGolden::report(const std::string& key, bool right, const std::string& note) {
  ++cases_;
  report_.check(title(key), right ? 0 : 1, 0, right ? "" : note);
}

int ModuleGolden::finish() {
  for (const NamedTensor& one : file_.tensors())
    if (!compared_.contains(one.name)) report(one.name, false, "is stored, but nothing here compares it");
  return cases_;
}

int check_tries(Report& report, const std::function<int(Report&)>& check) {
  Report first = report.trial(0);
  const int cases = check(first);
  const auto gradient_differs = [](const std::string& line) { return line.ends_with(kGradientDiffers); };
  if (std::ranges::count_if(first.lines(), gradient_differs) == first.failed())
    for (int attempt = 1; attempt < kTries && first.failed() > 0; ++attempt) {
      Report again = report.trial(attempt);
      check(again);
      first.take_passed(again);
    }
  report.add(first);
  return cases;
}

}  // namespace tessera::goldens
