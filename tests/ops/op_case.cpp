#include "tests/ops/op_case.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "ops/kernel_table.h"

namespace tessera::test {

namespace {

std::map<std::string, OpFamily*>& enrolled() {
  static std::map<std::string, OpFamily*> families;
  return families;
}

// f64, but every value exactly representable in f32, so that f32 and f64 runs see the same numbers.
template <class F>
Input floating(const Shape& shape, F value) {
  return {[=](Random& random) {
    Tensor tensor = Tensor::empty(shape, DType::kF64);
    for (double& x : tensor.span<double>()) x = static_cast<double>(static_cast<float>(value(random)));
    return tensor;
  }};
}

}  // namespace

Input uniform(const Shape& shape, double lo, double hi) {
  return floating(shape, [=](Random& random) { return random.uniform(lo, hi); });
}

Input spread(const Shape& shape, double step) {
  return {[=](Random& random) {
    Tensor tensor = Tensor::empty(shape, DType::kF64);
    const i64 n = tensor.numel();
    std::span<double> x = tensor.span<double>();
    for (i64 i = 0; i < n; ++i)
      x[i] = static_cast<double>(static_cast<float>((static_cast<double>(i - n / 2) + 0.5) * 2 * step));
    random.shuffle(x);
    return tensor;
  }};
}

Input integers(const Shape& shape, i64 lo, i64 hi) {
  return {[=](Random& random) {
    Tensor tensor = Tensor::empty(shape, DType::kI64);
    for (i64& x : tensor.span<i64>()) x = random.integer(lo, hi);
    return tensor;
  }};
}

Input binary(const Shape& shape) {
  return floating(shape, [](Random& random) { return random.chance(0.5) ? 1.0 : 0.0; });
}

Input constant(const Shape& shape, double value) {
  return floating(shape, [=](Random&) { return value; });
}

Input values(const Shape& shape, const std::vector<double>& v) {
  return {[=](Random&) { return Tensor::from(std::span<const double>(v), shape).to(DType::kF32).to(DType::kF64); }};
}

Input indices(const Shape& shape, const std::vector<i64>& v) {
  return {[=](Random&) { return Tensor::from(std::span<const i64>(v), shape); }};
}

Input absent() {
  return {};
}

OpFamily::OpFamily(const char* name) : name_(name) {
  TESSERA_CHECK(enrolled().emplace(name_, this).second, "op cases: family {} is defined twice", name_);
}

void OpFamily::enlist() {
  if (listed_) return;
  listed_ = true;
  list();
}

const std::vector<OpCase>& OpFamily::cases() {
  return enlist(), cases_;
}
const std::vector<OpCase>& OpFamily::benches() {
  return enlist(), benches_;
}
const std::vector<OpError>& OpFamily::errors() {
  return enlist(), errors_;
}

void OpFamily::add(OpCase one) {
  if (one.op.empty()) one.op = name_;
  TESSERA_CHECK(one.run && one.reference, "op cases: {} '{}' needs run and reference", one.op, one.name);
  for (const OpCase& other : cases_)
    TESSERA_CHECK(other.op != one.op || other.name != one.name, "op cases: {} '{}' is listed twice", one.op, one.name);
  one.bf16 = bf16_;
  one.kept_f32 = kept_f32_;
  one.bf16_atol = bf16_atol_;
  cases_.push_back(std::move(one));
}

void OpFamily::error(OpError one) {
  if (one.op.empty()) one.op = name_;
  TESSERA_CHECK(one.run && !one.message.empty(), "op cases: error {} '{}' needs run and message", one.op, one.name);
  errors_.push_back(std::move(one));
}

void OpFamily::bench(OpCase one) {
  if (one.op.empty()) one.op = name_;
  TESSERA_CHECK(one.run && (one.flops > 0 || one.bytes > 0), "op cases: bench {} '{}' needs run, and flops or bytes",
                one.op, one.name);
  benches_.push_back(std::move(one));
}

void OpFamily::in_bf16(std::vector<int> kept_f32, double atol) {
  bf16_ = true;
  kept_f32_ = std::move(kept_f32);
  bf16_atol_ = atol;
}

void OpFamily::only_f32() {
  bf16_ = false;
}

std::vector<OpFamily*> op_families() {
  std::vector<OpFamily*> families;
  for (const auto& [name, family] : enrolled()) families.push_back(family);
  return families;
}

std::vector<Device> registered_devices() {
  const std::vector<const KernelTableBase*> tables = KernelTableBase::all();
  std::vector<Device> devices;
  for (const Device device : present_devices())
    if (device.index == 0 && std::any_of(tables.begin(), tables.end(),
                                         [&](const KernelTableBase* table) { return table->supports(device.kind); }))
      devices.push_back(device);
  return devices;
}

std::string support_table() {
  std::string text;
  for (const KernelTableBase* table : KernelTableBase::all())
    for (int kind = 0; kind < kDeviceKinds; ++kind)
      if (table->supports(static_cast<DeviceKind>(kind)))
        text += fmt::format("{} {}\n", table->name(), name_of(static_cast<DeviceKind>(kind)));
  return text;
}

std::string repeat_line(const std::string& mode, const std::string& op, Device device, const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) pattern += '\\';
    if (c == '\'') pattern += "'\\'";  // leaves and re-enters the shell's quotes around an escaped quote
    pattern += c;
  }
  return fmt::format("tessera_ops {} -o {} -d {} -p '^{}$'", mode, op, device, pattern);
}

}  // namespace tessera::test
