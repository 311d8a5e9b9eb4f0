// The forward's graph is the convolution, then the residual, the bias and the ReLU, in this order: with it, and with a
// bias in any case, cuDNN has as many engines as for the convolution alone, in the other order none. ReLU6 has one,
// which is made for all sizes, not for speed. Between the operations numbers are f32; channels are innermost
// everywhere.
//
// Channels that are no multiple of 16 bytes need nothing of ours: engines of the tensor cores copy what has them to
// rows that are padded, in the workspace, and other engines stand beside them in the list.
#include "ops/cuda/dnn_graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>

namespace tessera::cuda {

namespace {

static_assert(CUDNN_VERSION >= 90800, "cuDNN 9.8 or later is needed: descriptions of GPUs");

using ops::Conv2dDims;

enum Id : i64 { kX = 1, kWeight, kY, kBias, kResidual, kFirstSum };  // of tensors, in a graph and in its operands

constexpr cudnnDataType_t kSum = CUDNN_DATA_FLOAT;  // of all arithmetic
constexpr i64 kAlignment = 16;                      // bytes, of every operand

// NHWC, though cuDNN wants the sizes as N, C, H, W. virtual_: of the graph alone, it lies nowhere.
Descriptor tensor(i64 id, cudnnDataType_t type, i64 N, i64 H, i64 W, i64 C, bool virtual_ = false) {
  Descriptor result(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  result.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, {N, C, H, W})
      .set(CUDNN_ATTR_TENSOR_STRIDES, {H * W * C, i64{1}, W * C, C})
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, virtual_)
      .finalize();
  return result;
}

struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t alpha, beta, convolution, x, weight, y;
};

OperationNames names_of(Direction direction) {
  switch (direction) {
    case Direction::kBackwardInput:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case Direction::kBackwardWeight:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
    default:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
  }
}

Descriptor convolve(Direction direction, const Conv2dDims& dims, const Descriptor& x, const Descriptor& weight,
                    const Descriptor& y) {
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, kSum)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, i64{2})
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {dims.stride, dims.stride})
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {dims.dilation, dims.dilation})
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {dims.padding, dims.padding})
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {dims.padding, dims.padding})
      .finalize();
  const OperationNames names = names_of(direction);
  Descriptor operation(names.type);
  operation.set(names.alpha, 1.0f)
      .set(names.beta, 0.0f)
      .set(names.convolution, convolution)
      .set(names.x, x)
      .set(names.weight, weight)
      .set(names.y, y)
      .finalize();
  return operation;
}

// to = from + term, or with no term to = relu(from), which lets NaN through.
Descriptor follow(const Descriptor& from, const Descriptor* term, const Descriptor& to) {
  Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  function.set(CUDNN_ATTR_POINTWISE_MODE, term ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, kSum);
  if (!term) function.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
  function.finalize();
  Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
  if (term) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *term);
  operation.finalize();
  return operation;
}

Descriptor graph_of(const PlanTarget& target, const Convolution& c) {
  const Conv2dDims& d = c.dims;
  const cudnnDataType_t type = c.dtype == DType::kBF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const Descriptor x = tensor(kX, type, d.N, d.H, d.W, d.Ci), y = tensor(kY, type, d.N, d.Ho, d.Wo, d.Co),
                   weight = tensor(kWeight, type, d.Co, d.Kh, d.Kw, d.group_in()),
                   bias = tensor(kBias, type, 1, 1, 1, d.Co), residual = tensor(kResidual, type, d.N, d.Ho, d.Wo, d.Co);
  std::vector<const Descriptor*> terms;  // of what follows the convolution; null: the ReLU
  if (c.residual) terms.push_back(&residual);
  if (c.bias) terms.push_back(&bias);
  if (c.relu) terms.push_back(nullptr);
  std::vector<Descriptor> sums;  // what one operation hands to the next
  for (size_t i = 0; i < terms.size(); ++i)
    sums.push_back(tensor(kFirstSum + static_cast<i64>(i), kSum, d.N, d.Ho, d.Wo, d.Co, true));
  const auto result = [&](size_t i) -> const Descriptor& { return i < sums.size() ? sums[i] : y; };
  std::vector<Descriptor> operations;
  operations.push_back(convolve(c.direction, d, x, weight, result(0)));
  for (size_t i = 0; i < terms.size(); ++i) operations.push_back(follow(result(i), terms[i], result(i + 1)));
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
  target.tell_graph(graph);
  graph.finalize();
  return graph;
}

bool is_exact_enough(const Descriptor& engine, const Convolution& c) {
  const auto is_fine = [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:  // adds with atomics
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_FFT:  // these transform operands and results, at several times the rounding error
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:  // products of bf16 are exact there, those of f32 are TF32
        return c.tf32 || c.dtype == DType::kBF16;
      default:
        return true;
    }
  };
  return std::ranges::all_of(
      engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT),
      is_fine);
}

// Compiling one for each shape takes seconds.
bool is_compiled_at_run_time(const Descriptor& engine) {
  return std::ranges::count(engine.get_all<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                                       CUDNN_BEHAVIOR_NOTE_TYPE_COUNT),
                            CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) > 0;
}

// "41:2=4,13=0": the engine, its knobs and their values.
std::string describe(const Descriptor& engine, const Descriptor& config) {
  std::string name = fmt::format("{}:", engine.get<i64>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  for (const Descriptor& choice :
       config.get_all(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
    name += fmt::format("{}{}={}", name.ends_with(':') ? "" : ",",
                        static_cast<int>(choice.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)),
                        choice.get<i64>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  return name;
}

// Appends what the heuristic of that mode recommends.
void recommend(cudnnBackendHeurMode_t mode, const PlanTarget& target, const Descriptor& graph, const Convolution& c,
               std::vector<Candidate>& found) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  target.tell_heuristics(heuristics);
  heuristics.finalize();
  for (Descriptor& config :
       heuristics.get_all(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                          heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR))) {
    const std::vector<Descriptor> engine =
        config.get_all(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engine.empty() || !is_exact_enough(engine[0], c) || is_compiled_at_run_time(engine[0])) continue;
    std::string name = describe(engine[0], config);
    if (std::ranges::find(found, name, &Candidate::name) == found.end())
      found.push_back({.name = std::move(name), .config = std::make_shared<const Descriptor>(std::move(config))});
  }
}

}  // namespace

std::string name_of(const Convolution& c) {
  const Conv2dDims& d = c.dims;
  const char* direction = c.direction == Direction::kForward         ? "forward"
                          : c.direction == Direction::kBackwardInput ? "backward_input"
                                                                     : "backward_weight";
  return fmt::format("{} {}{} x {}x{}x{}x{} weight {}x{}x{}x{} stride {} padding {} dilation {}{}{}{}", direction,
                     tessera::name_of(c.dtype), c.tf32 ? " tf32" : "", d.N, d.H, d.W, d.Ci, d.Co, d.Kh, d.Kw,
                     d.group_in(), d.stride, d.padding, d.dilation, c.residual ? " residual" : "",
                     c.bias ? " bias" : "", c.relu ? " relu" : "");
}

PlanTarget::PlanTarget(const std::string& properties) {
  Descriptor& described = properties_.emplace_back(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  described.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(properties)).finalize();
}

void PlanTarget::tell_graph(Descriptor& graph) const {
  if (handle_) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
}

void PlanTarget::tell_heuristics(Descriptor& heuristics) const {
  if (!handle_) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties_[0]);
}

void PlanTarget::tell_plan(Descriptor& plan) const {
  if (handle_)
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties_[0]);
}

std::vector<Candidate> candidates(const PlanTarget& target, const Convolution& convolution) {
  std::vector<Candidate> found;
  try {
    const Descriptor graph = graph_of(target, convolution);
    recommend(CUDNN_HEUR_MODE_A, target, graph, convolution, found);
    recommend(CUDNN_HEUR_MODE_FALLBACK, target, graph, convolution, found);
  } catch (const Refused&) {
  }
  return found;
}

ConvolutionPlan::ConvolutionPlan(const PlanTarget& target, const Candidate& candidate)
    : config_(candidate.config), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, *config_);
  target.tell_plan(plan_);
  plan_.finalize();
  workspace_ = plan_.get<i64>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
}

void ConvolutionPlan::run(cudnnHandle_t handle, const Operands& operands, void* workspace) const {
  std::array<i64, 5> ids;
  std::array<void*, 5> addresses;
  size_t count = 0;
  for (const auto& [id, address] : {std::pair{kX, operands.x},
                                    {kWeight, operands.weight},
                                    {kY, operands.y},
                                    {kBias, operands.bias},
                                    {kResidual, operands.residual}})
    if (address) {
      ids[count] = id;
      addresses[count++] = address;
    }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const i64>(ids.data(), count))
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(addresses.data(), count))
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
      .finalize();
  check_taken(cudnnBackendExecute(handle, plan_.get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace tessera::cuda
