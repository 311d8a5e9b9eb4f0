// Dense convolutions by cuDNN. A convolution is planned when its shape is first met on a GPU, and a later call costs a
// look-up. Of the engines for its graph (ops/cuda/dnn_graph.h) the fastest of the first few is taken: they are timed on
// the operands at hand, once per machine (ops/tuned_choices.h). Untuned (ops/precision.h), and where the work is being
// recorded and nothing can be timed, it is the first that cuDNN recommends. What no graph takes goes to the older
// interface (ops/cuda/dnn_legacy.h).
#include "ops/cuda/dnn.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

#include "ops/cuda/dnn_legacy.h"
#include "ops/precision.h"
#include "ops/tuned_choices.h"
#include "tensor/cuda/runtime.h"
#include "tensor/device_counts.h"

namespace tessera::cuda {

namespace {

using ops::Conv2dDims;

constexpr int kTried = 6, kRuns = 3;  // engines that are timed, runs of each, of which the fastest counts
constexpr double kDidNotRun = std::numeric_limits<double>::infinity();

int current_gpu() {
  int index = 0;
  check(cudaGetDevice(&index), "cudaGetDevice");
  return index;
}

// "NVIDIA H200 9.0 driver 13.0 cuDNN 9.19.0"
std::string machine_name(int gpu) {
  cudaDeviceProp properties{};
  int driver = 0;
  check(cudaGetDeviceProperties(&properties, gpu), "cudaGetDeviceProperties");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  const size_t version = cudnnGetVersion();
  return fmt::format("{} {}.{} driver {}.{} cuDNN {}.{}.{}", properties.name, properties.major, properties.minor,
                     driver / 1000, driver % 1000 / 10, version / 10000, version / 100 % 100, version % 100);
}

// Whether the current stream's work is recorded instead of done.
bool is_recorded() {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream(), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

struct Event {
  cudaEvent_t event = nullptr;
  Event() { check(cudaEventCreate(&event), "cudaEventCreate"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event); }
};

Tensor workspace_of(const ConvolutionPlan& plan) {
  return Tensor::empty({plan.workspace()}, DType::kU8, {kDevice, current_gpu()});
}

using Key = std::array<i64, 18>;

Key key_of(const Convolution& c, bool tuned) {
  const Conv2dDims& d = c.dims;
  return {static_cast<i64>(c.direction),
          static_cast<i64>(c.dtype),
          c.tf32,
          c.bias,
          c.residual,
          c.relu,
          tuned,
          d.N,
          d.H,
          d.W,
          d.Ci,
          d.Co,
          d.Kh,
          d.Kw,
          d.stride,
          d.padding,
          d.dilation,
          d.groups};
}

cudnnHandle_t make_handle() {
  cudnnHandle_t handle = nullptr;
  check_dnn(cudnnCreate(&handle), "cudnnCreate");
  return handle;
}

// What the process holds of cuDNN on one GPU. One thread at a time uses it. Not freed: it lives as long as the process.
class Dnn {
 public:
  explicit Dnn(int gpu) : choices_(ops::choices_file(ops::cache_folder(), machine_name(gpu))) {}

  // legacy(handle) does it where no graph does. Whether it was done.
  template <class Legacy>
  bool run(const Convolution& convolution, const Operands& operands, const Legacy& legacy) {
    const std::lock_guard lock(mutex_);
    check_dnn(cudnnSetStream(handle_, stream()), "cudnnSetStream");  // another one within a branch
    return run_plan(convolution, operands) || legacy(handle_);
  }

 private:
  bool run_plan(const Convolution& convolution, const Operands& operands);
  std::optional<ConvolutionPlan> make_plan(const Convolution& convolution, const Operands& operands, bool tuned);
  std::string tune(const std::vector<Candidate>& all, const Operands& operands);
  double time(const Candidate& candidate, const Operands& operands);  // milliseconds

  std::mutex mutex_;
  cudnnHandle_t handle_ = make_handle();
  PlanTarget target_{handle_};
  ops::TunedChoices choices_;
  std::map<Key, std::optional<ConvolutionPlan>> plans_;  // nothing: no graph takes it
};

bool Dnn::run_plan(const Convolution& c, const Operands& operands) {
  for (const void* address : {operands.x, operands.weight, operands.y, operands.bias, operands.residual})
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return false;
  bool tuned = arithmetic().tune;
  auto found = plans_.find(key_of(c, tuned));
  if (found == plans_.end() && tuned && is_recorded()) {
    tuned = false;
    found = plans_.find(key_of(c, tuned));
  }
  if (found == plans_.end()) found = plans_.emplace(key_of(c, tuned), make_plan(c, operands, tuned)).first;
  std::optional<ConvolutionPlan>& plan = found->second;
  if (!plan) return false;
  try {
    Tensor workspace = workspace_of(*plan);
    plan->run(handle_, operands, workspace.raw());
    count_device_launch();
    return true;
  } catch (const Refused&) {
    plan.reset();
    return false;
  }
}

std::optional<ConvolutionPlan> Dnn::make_plan(const Convolution& c, const Operands& operands, bool tuned) {
  std::vector<Candidate> all = candidates(target_, c);
  if (tuned && all.size() > 1) {
    // Work of other processes that this GPU waits for (train/communicator.h) may wait in turn for a process that wants
    // the file of choices: it is let go first.
    check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize");
    const std::string chosen = choices_.choose(name_of(c), [&] { return tune(all, operands); });
    const auto place = std::ranges::find(all, chosen, &Candidate::name);
    if (place != all.end()) std::rotate(all.begin(), place, place + 1);
  }
  for (const Candidate& candidate : all) try {
      ConvolutionPlan plan(target_, candidate);
      if (plan.workspace() <= kMostWorkspace) return plan;
    } catch (const Refused&) {
    }
  return std::nullopt;
}

// The name of the fastest. Each computes what was asked for, into the place where it belongs.
std::string Dnn::tune(const std::vector<Candidate>& all, const Operands& operands) {
  std::vector<double> times;
  int tried = 0;
  for (size_t i = 0; i < all.size() && tried < kTried; ++i) {
    times.push_back(time(all[i], operands));
    if (times.back() != kDidNotRun) ++tried;
  }
  const std::optional<size_t> best = ops::fastest(times);
  return best ? all[*best].name : "";
}

double Dnn::time(const Candidate& candidate, const Operands& operands) try {
  const ConvolutionPlan plan(target_, candidate);
  if (plan.workspace() > kMostWorkspace) return kDidNotRun;
  Tensor workspace = workspace_of(plan);
  const Event begin, end;
  double least = kDidNotRun;
  for (int run = -1; run < kRuns; ++run) {  // the first loads the kernels and does not count
    check(cudaEventRecord(begin.event, stream()), "cudaEventRecord");
    plan.run(handle_, operands, workspace.raw());
    check(cudaEventRecord(end.event, stream()), "cudaEventRecord");
    check(cudaEventSynchronize(end.event), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.event, end.event), "cudaEventElapsedTime");
    if (run >= 0) least = std::min<double>(least, milliseconds);
  }
  return least;
} catch (const Refused&) {
  return kDidNotRun;
} catch (const Error&) {  // no memory for its workspace, or it failed: others may do
  cudaGetLastError();
  return kDidNotRun;
}

// Of the current GPU.
Dnn& dnn() {
  static auto* mutex = new std::mutex;
  static auto* instances = new std::map<int, Dnn>;
  const int gpu = current_gpu();
  const std::lock_guard lock(*mutex);
  return instances->try_emplace(gpu, gpu).first->second;
}

bool fits(const Conv2dDims& dims) {
  return std::max({dims.N * dims.H * dims.W * dims.Ci, dims.N * dims.Ho * dims.Wo * dims.Co, dims.padding, dims.stride,
                   dims.dilation}) <= std::numeric_limits<int>::max();
}

Convolution describe(Direction direction, const Tensor& operand, const Conv2dDims& dims) {
  return {.direction = direction,
          .dtype = operand.dtype(),
          .tf32 = operand.dtype() == DType::kF32 && precision() != Precision::kHighest,
          .bias = false,
          .residual = false,
          .relu = false,
          .dims = dims};
}

// cuDNN reads what is given as const.
void* address(const Tensor& tensor) {
  return tensor.defined() ? const_cast<void*>(tensor.raw()) : nullptr;
}

}  // namespace

bool dense_conv2d(const Conv2dDims& dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, bool relu, Tensor& y) {
  if (!fits(dims)) return false;
  // cuDNN wants a bias before all else that follows the sum.
  const Tensor shift =
      bias.defined() || !(residual.defined() || relu) ? bias : Tensor::zeros({dims.Co}, x.dtype(), x.device());
  Convolution convolution = describe(Direction::kForward, x, dims);
  convolution.bias = shift.defined();
  convolution.residual = residual.defined();
  convolution.relu = relu;
  const Operands operands{address(x), address(weight), address(y), address(shift), address(residual)};
  return dnn().run(convolution, operands, [&](cudnnHandle_t handle) {
    return legacy_conv2d(handle, dims, x, weight, shift, residual, relu, y);
  });
}

bool dense_conv2d_backward_input(const Conv2dDims& dims, const Tensor& gy, const Tensor& weight, Tensor& gx) {
  if (!fits(dims)) return false;
  const Operands operands{address(gx), address(weight), address(gy), nullptr, nullptr};
  return dnn().run(describe(Direction::kBackwardInput, gy, dims), operands,
                   [&](cudnnHandle_t handle) { return legacy_conv2d_backward_input(handle, dims, gy, weight, gx); });
}

bool dense_conv2d_backward_weight(const Conv2dDims& dims, const Tensor& gy, const Tensor& x, Tensor& gw) {
  if (!fits(dims)) return false;
  const Operands operands{address(x), address(gw), address(gy), nullptr, nullptr};
  return dnn().run(describe(Direction::kBackwardWeight, gy, dims), operands,
                   [&](cudnnHandle_t handle) { return legacy_conv2d_backward_weight(handle, dims, gy, x, gw); });
}

}  // namespace tessera::cuda
