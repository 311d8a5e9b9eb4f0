// An operator outside of the library, with kernel and gradient: mish(x) = x tanh(softplus(x)) (Misra 2019, eq. 1).
#include <fmt/core.h>
#include <tessera/ops/cpu/parallel.h>
#include <tessera/tessera.h>

#include <cmath>

namespace mine {
using namespace tessera;

KernelTable<void(const Tensor& x, Tensor& y)> mish_kernels{"mish"};
KernelTable<void(const Tensor& gy, const Tensor& x, Tensor& gx)> mish_backward_kernels{"mish_backward"};

void mish_cpu(const Tensor& x, Tensor& y) {
  const float* from = x.data<float>();
  float* to = y.data<float>();
  parallel_ranges(x.numel(), 4096, [=](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) to[i] = from[i] * std::tanh(std::log1p(std::exp(from[i])));
  });
}

// With t = tanh(softplus(x)):  d mish / dx = t + x (1 - t^2) / (1 + exp(-x))
void mish_backward_cpu(const Tensor& gy, const Tensor& x, Tensor& gx) {
  const float *slope = gy.data<float>(), *at = x.data<float>();
  float* to = gx.data<float>();
  parallel_ranges(x.numel(), 4096, [=](i64 begin, i64 end) {
    for (i64 i = begin; i < end; ++i) {
      const float t = std::tanh(std::log1p(std::exp(at[i])));
      to[i] = slope[i] * (t + at[i] * (1 - t * t) / (1 + std::exp(-at[i])));
    }
  });
}

const bool kAdded =
    mish_kernels.add(DeviceKind::kCpu, mish_cpu) && mish_backward_kernels.add(DeviceKind::kCpu, mish_backward_cpu);

Var mish(const Var& x) {
  Tensor y = Tensor::empty(x.shape());
  mish_kernels(x.value(), y);
  return record("mish", y, {x}, [x = x.value()](const Tensor& gy, Gradients& gradients) {
    Tensor gx = Tensor::empty(x.shape());
    mish_backward_kernels(gy, x, gx);
    gradients.add(0, gx);
  });
}
}  // namespace mine

int main() {
  using namespace tessera;
  const Var x(Tensor::from<float>({-2, 0, 0.5f, 3}), true);
  sum(mine::mish(x)).backward();
  const Tensor higher = mine::mish(x + 1e-2).value(), lower = mine::mish(x + -1e-2).value();
  double worst = 0;
  for (i64 i = 0; i < x.value().numel(); ++i)
    worst = std::max(
        worst, std::abs((higher.data<float>()[i] - lower.data<float>()[i]) / 2e-2 - double{x.grad().data<float>()[i]}));
  fmt::print("mish: gradient and finite differences differ by {:.1e} at most\n", worst);
  return worst < 1e-3 ? 0 : 1;
}
