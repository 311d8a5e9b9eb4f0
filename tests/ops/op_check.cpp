#include "tests/ops/op_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>

#include "ops/kernel_table.h"

namespace tessera::test {

namespace {

constexpr double kF64Tolerance = 1e-9;  // f64 results against the f64 reference: relative and absolute
constexpr double kStep = 1e-6;          // central differences, as PyTorch's gradcheck
constexpr double kGradAbsolute = 1e-5;
constexpr double kGradRelative = 1e-3;
constexpr double kF32Gradient = 2e-5;  // f32 gradient against f64, relative to the largest value,
constexpr double kF32Rounding = 1e-7;  // plus one rounding of the fed gradients, which are up to 1
// bf16 results are rounded once; gradients also where something is kept for them (which may be up to 1) and where they
// are summed from several.
constexpr double kBF16 = 0x1p-8, kBF16Gradient = 3 * kBF16, kBF16Rounding = 0x1p-9;
constexpr i64 kSamples = 48;  // elements per input whose difference quotient is computed

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

std::string position(const Shape& shape, i64 offset) {
  std::string text;
  for (int dim = shape.rank() - 1; dim >= 0; --dim) {
    text = fmt::format("{}{}{}", offset % shape[dim], text.empty() ? "" : ", ", text);
    offset /= shape[dim];
  }
  return "[" + text + "]";
}

// |got - want| <= atol + rtol |want|; NaN equals NaN and infinity equals itself. Empty, or the worst element.
std::string compare(const Tensor& got, const Tensor& want, double rtol, double atol) {
  if (!got.defined()) return "is undefined";
  if (got.shape() != want.shape()) return fmt::format("has shape {}, expected {}", got.shape(), want.shape());
  const Tensor a = got.to_host().to(DType::kF64), b = want.to(DType::kF64);
  double worst = 0;
  i64 at = -1;
  for (i64 i = 0; i < a.numel(); ++i) {
    const double x = a.data<double>()[i], y = b.data<double>()[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    double excess = std::abs(x - y) / (atol + rtol * std::abs(y));
    if (std::isnan(excess)) excess = INFINITY;
    if (excess > 1 && (at < 0 || excess > worst)) worst = excess, at = i;
  }
  if (at < 0) return "";
  return fmt::format("is {} at {}, expected {} (tolerance exceeded {:.3g} times; shape {})", a.data<double>()[at],
                     position(a.shape(), at), b.data<double>()[at], worst, a.shape());
}

std::string check_forward_as(const OpCase& one, const Tensors& inputs, const References& want, DType dtype,
                             Device device) {
  const Vars vars = make_vars(one, inputs, dtype, device, true);
  Tensors before;
  for (const Var& var : vars) before.push_back(var.defined() ? var.value().to_host().clone() : Tensor());
  const Outputs got = one.run(vars);
  if (got.size() != want.size()) return fmt::format("{} outputs, the reference has {}", got.size(), want.size());
  const double scale = std::sqrt(std::max(1.0, one.reduction));
  const double rtol = dtype == DType::kF64    ? kF64Tolerance
                      : dtype == DType::kBF16 ? kBF16
                                              : one.rtol,
               atol = dtype == DType::kF64    ? kF64Tolerance
                      : dtype == DType::kBF16 ? one.atol + one.bf16_atol
                                              : one.atol;
  bool recorded = false;
  for (size_t k = 0; k < got.size(); ++k) {
    const std::string wrong = compare(got[k].value(), want[k], rtol * scale, atol * scale);
    if (!wrong.empty()) return fmt::format("{} output {} {}", name_of(dtype), k, wrong);
    const DType result = got[k].value().dtype();
    const bool parameter = dtype == DType::kBF16 && result == DType::kF32 && !one.kept_f32.empty();
    if (is_compute_float(want[k].dtype()) && (is_compute_float(result) || result == DType::kBF16) && result != dtype &&
        !parameter)
      return fmt::format("output {} is {} for {} inputs", k, name_of(got[k].value().dtype()), name_of(dtype));
    recorded |= got[k].requires_grad();
  }
  if (!one.grad.empty() && !recorded) return "no output requires a gradient: the operator drops it";
  for (size_t i = 0; i < vars.size(); ++i)
    if (vars[i].defined() && !same_bits(before[i], vars[i].value().to_host()))
      return fmt::format("input {} was changed", i);

  const NoGrad no_grad;
  const Outputs again = one.run(vars);
  for (size_t k = 0; k < got.size(); ++k) {
    if (!same_bits(got[k].value().to_host(), again[k].value().to_host()))
      return fmt::format("{} output {} has other bits when run again under NoGrad", name_of(dtype), k);
    if (again[k].requires_grad()) return fmt::format("output {} is recorded under NoGrad", k);
  }
  return "";
}

// Random weights, in f64, of the outputs that are on the tape. The others (indices, running statistics) have none: they
// are no part of the projection.
Tensors make_weights(const OpCase& one, const Tensors& inputs) {
  Random random(stream_of(one.op + "/" + one.name + "/projection"));
  Tensors weights;
  for (const Var& y : one.run(make_vars(one, inputs, DType::kF64, {}, true))) {
    weights.emplace_back();
    if (!y.requires_grad()) continue;
    weights.back() = Tensor::empty(y.shape(), DType::kF64);
    for (double& w : weights.back().span<double>()) w = static_cast<double>(static_cast<float>(random.uniform(-1, 1)));
  }
  return weights;
}

// The gradients of sum over outputs k of weights[k] . y[k] with respect to each input in one.grad, on the CPU; throws
// when one is missing.
Tensors gradients(const OpCase& one, const Tensors& inputs, const Tensors& weights, DType dtype, Device device) {
  const Vars vars = make_vars(one, inputs, dtype, device, true);
  const Outputs outputs = one.run(vars);
  const auto feed = [&](const Tensor&, Gradients& fed) {
    for (size_t k = 0; k < weights.size(); ++k)
      if (weights[k].defined()) fed.add(static_cast<int>(k), weights[k].to(outputs[k].value().dtype()).to(device));
  };
  record("projection", Tensor::zeros({}), outputs, feed).backward();
  Tensors result;
  for (const int i : one.grad) {
    const Tensor& gradient = vars.at(static_cast<size_t>(i)).grad();
    TESSERA_CHECK(gradient.defined(), "input {} receives no gradient", i);
    const DType wanted = vars.at(static_cast<size_t>(i)).value().dtype();
    TESSERA_CHECK(gradient.shape() == inputs[i].shape() && gradient.dtype() == wanted,
                  "the gradient of input {} is {} {}, the input {} {}", i, name_of(gradient.dtype()), gradient.shape(),
                  name_of(wanted), inputs[i].shape());
    result.push_back(gradient.to_host());
  }
  return result;
}

// (p(x + h e) - p(x - h e)) / 2h for the projection p and one element of one input.
double difference_quotient(const OpCase& one, const Tensors& inputs, const Tensors& weights, size_t input,
                           i64 element) {
  const NoGrad no_grad;
  Tensors shifted = inputs;
  const auto run_at = [&](double step) {
    shifted[input] = inputs[input].clone();  // a fresh copy: an output may share the input's memory
    shifted[input].data<double>()[element] += step;
    return one.run(make_vars(one, shifted, DType::kF64, {}, false));
  };
  const Outputs high = run_at(kStep), low = run_at(-kStep);
  const double centre = inputs[input].data<double>()[element], above = centre + kStep, below = centre - kStep;
  double sum = 0;
  for (size_t k = 0; k < high.size(); ++k) {
    if (!weights[k].defined()) continue;
    for (i64 i = 0; i < weights[k].numel(); ++i)
      sum += weights[k].data<double>()[i] * (high[k].value().data<double>()[i] - low[k].value().data<double>()[i]);
  }
  return sum / (above - below);
}

std::string check_differences(const OpCase& one, const Tensors& inputs, const Tensors& weights,
                              const Tensors& analytic) {
  for (size_t g = 0; g < one.grad.size(); ++g) {
    const size_t input = static_cast<size_t>(one.grad[g]);
    const i64 n = inputs[input].numel(), count = std::min(n, kSamples);
    for (i64 s = 0; s < count; ++s) {
      // Spread over the tensor; the stride is uneven so that samples do not all fall into one channel.
      const i64 element = n <= kSamples ? s : (s * (n / kSamples) + s * s) % n;
      const double numeric = difference_quotient(one, inputs, weights, input, element),
                   exact = analytic[g].data<double>()[element];
      if (!(std::abs(numeric - exact) <= kGradAbsolute + kGradRelative * std::abs(numeric)))
        return fmt::format("gradient of input {} is {} at {}, finite differences give {}", input, exact,
                           position(inputs[input].shape(), element), numeric);
    }
  }
  return "";
}

bool contains(const std::vector<int>& list, size_t i) {
  return std::find(list.begin(), list.end(), static_cast<int>(i)) != list.end();
}

// Whether the case is one for bf16 and the device keeps activations so.
bool runs_in_bf16(const OpCase& one, Device device) {
  return one.bf16 && (device.kind == DeviceKind::kCuda || device.kind == DeviceKind::kCudaEmulated);
}

// The inputs as a bf16 run sees them, in f64.
Tensors rounded(const OpCase& one, Tensors inputs) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined() && inputs[i].dtype() == DType::kF64 && !contains(one.kept_f32, i))
      inputs[i] = inputs[i].to(DType::kBF16).to(DType::kF64);
  return inputs;
}

// The gradients of the f32 or bf16 run against exact ones, and again with the same bits.
std::string check_gradient_as(const OpCase& one, const Tensors& inputs, const Tensors& weights, const Tensors& exact,
                              DType dtype, Device device) {
  const Tensors single = gradients(one, inputs, weights, dtype, device),
                again = gradients(one, inputs, weights, dtype, device);
  const bool bf16 = dtype == DType::kBF16;
  const double relative = bf16 ? kBF16Gradient : kF32Gradient * std::sqrt(std::max(1.0, one.reduction)),
               absolute = bf16 ? kBF16Rounding : kF32Rounding;
  for (size_t g = 0; g < exact.size(); ++g) {
    double largest = 0;
    for (const double x : exact[g].span<double>()) largest = std::max(largest, std::abs(x));
    const std::string wrong = compare(single[g], exact[g], 0, absolute + relative * largest);
    if (!wrong.empty()) return fmt::format("{} gradient of input {} {}", name_of(dtype), one.grad[g], wrong);
    if (!same_bits(single[g], again[g]))
      return fmt::format("{} gradient of input {} has other bits when run again", name_of(dtype), one.grad[g]);
  }
  return "";
}

// Runs a check; an exception is its failure, but for the lack of a kernel.
template <class F>
std::string guarded(F&& check) {
  try {
    return check();
  } catch (const MissingKernel&) {
    throw;
  } catch (const std::exception& error) {
    return fmt::format("throws: {}", error.what());
  }
}

}  // namespace

Tensors make_inputs(const OpCase& one) {
  Tensors inputs;
  for (size_t i = 0; i < one.in.size(); ++i) {
    Random random(stream_of(one.op + "/" + one.name, {i}));
    inputs.push_back(one.in[i].make ? one.in[i].make(random) : Tensor());
  }
  return inputs;
}

Vars make_vars(const OpCase& one, const Tensors& inputs, DType dtype, Device device, bool with_grad) {
  Vars vars;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i];
    if (!x.defined()) {
      vars.emplace_back();
      continue;
    }
    const bool wanted = with_grad && contains(one.grad, i);
    const DType as = dtype == DType::kBF16 && contains(one.kept_f32, i) ? DType::kF32 : dtype;
    vars.emplace_back((x.dtype() == DType::kF64 ? x.to(as) : x).to(device), wanted);
  }
  return vars;
}

std::string check_forward(const OpCase& one, Device device) {
  return guarded([&]() -> std::string {
    const Tensors inputs = make_inputs(one);
    const References want = one.reference(inputs);
    if (device.kind == DeviceKind::kCpu) {
      const std::string wrong = check_forward_as(one, inputs, want, DType::kF64, device);
      if (!wrong.empty()) return wrong;
    }
    const std::string wrong = check_forward_as(one, inputs, want, DType::kF32, device);
    if (!wrong.empty() || !runs_in_bf16(one, device)) return wrong;
    const Tensors halved = rounded(one, inputs);
    return check_forward_as(one, halved, one.reference(halved), DType::kBF16, device);
  });
}

std::string check_gradient(const OpCase& one, Device device) {
  if (one.grad.empty()) return "";
  return guarded([&]() -> std::string {
    const Tensors inputs = make_inputs(one);
    const Tensors weights = make_weights(one, inputs);
    const Tensors exact = gradients(one, inputs, weights, DType::kF64, {});
    if (device.kind == DeviceKind::kCpu) {
      const std::string wrong = check_differences(one, inputs, weights, exact);
      if (!wrong.empty()) return wrong;
    }
    const std::string wrong = check_gradient_as(one, inputs, weights, exact, DType::kF32, device);
    if (!wrong.empty() || !runs_in_bf16(one, device)) return wrong;
    const Tensors halved = rounded(one, inputs);
    Tensors fed = weights;
    for (Tensor& weight : fed)
      if (weight.defined()) weight = weight.to(DType::kBF16).to(DType::kF64);
    return check_gradient_as(one, halved, fed, gradients(one, halved, fed, DType::kF64, {}), DType::kBF16, device);
  });
}

std::string check_error(const OpError& one) {
  try {
    one.run();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (message.find(one.message) != std::string::npos) return "";
    return fmt::format("the message is '{}', expected to contain '{}'", message, one.message);
  } catch (const std::exception& error) {
    return fmt::format("throws '{}', which is not a tessera::Error", error.what());
  }
  return fmt::format("is accepted, expected the error '{}'", one.message);
}

}  // namespace tessera::test
