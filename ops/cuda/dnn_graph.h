// A convolution as an operation graph of cuDNN, what may compute it, and the plans made of that. Nothing here touches a
// GPU but ConvolutionPlan::run, so all else can be tested without one.
#pragma once

#include <memory>

#include "ops/conv2d.h"
#include "ops/cuda/dnn_descriptor.h"

namespace tessera::cuda {

enum class Direction { kForward, kBackwardInput, kBackwardWeight };

// What a plan depends on. tf32: the tensor cores may round operands in f32 to TF32.
struct Convolution {
  Direction direction;
  DType dtype;  // f32 or bf16, of all operands
  bool tf32;
  bool bias, residual, relu;  // forward: y = relu(conv(x) + residual + bias)
  ops::Conv2dDims dims;
};

std::string name_of(const Convolution& convolution);  // in one line, all of it

// The operands' addresses, each a multiple of 16. The direction's result is one of x, weight and y; what the
// convolution lacks is null.
struct Operands {
  void *x, *weight, *y, *bias, *residual;
};

// The GPU that plans are for: one that is here, or one that is described, which is enough to plan and not to run.
class PlanTarget {
 public:
  explicit PlanTarget(cudnnHandle_t handle) : handle_(handle) {}
  explicit PlanTarget(const std::string& properties);  // cuDNN's JSON
  void tell_graph(Descriptor& graph) const;
  void tell_heuristics(Descriptor& heuristics) const;
  void tell_plan(Descriptor& plan) const;

 private:
  cudnnHandle_t handle_ = nullptr;
  std::vector<Descriptor> properties_;  // one, or none with a handle
};

// One that cuDNN offers: an engine with the settings of its knobs. The name holds for a GPU, a driver and a version.
struct Candidate {
  std::string name;
  std::shared_ptr<const Descriptor> config;
};

// Of those that cuDNN recommends, the best first, that are deterministic and compute as exactly as they have to. Empty
// where it does not take the convolution.
std::vector<Candidate> candidates(const PlanTarget& target, const Convolution& convolution);

class ConvolutionPlan {
 public:
  ConvolutionPlan(const PlanTarget& target, const Candidate& candidate);  // throws Refused
  i64 workspace() const { return workspace_; }                            // bytes
  // Enqueues the convolution on the handle's stream; throws Refused.
  void run(cudnnHandle_t handle, const Operands& operands, void* workspace) const;

 private:
  std::shared_ptr<const Descriptor> config_;  // the plan may refer to it
  Descriptor plan_;
  i64 workspace_;
};

}  // namespace tessera::cuda
