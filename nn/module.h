// Module: a layer or a network, which lists its parameters, buffers and children once.
//
//   struct Conv2d : Module {
//     Var weight, bias;
//     void visit(Visitor& v) override {
//       v.parameter("weight", weight, Layout::kConvOIHW);
//       v.parameter("bias", bias);
//     }
//   };
//   struct Block : Module {
//     Conv2d conv1;
//     std::optional<Conv2d> conv2;
//     void visit(Visitor& v) override {
//       v.child("conv1", conv1);
//       v.child("conv2", conv2);
//     }
//   };
//
// From this one list follow checkpoint names ("conv1.weight"), to(device), train/eval mode, counting, loading and the
// form for inference. What is absent is passed over: an undefined Var or Tensor, an empty optional.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "autograd/var.h"
#include "tensor/safetensors.h"

namespace tessera::nn {

// How other tools lay a parameter out. Ours is always channels last; the rule belongs to the layer, not to the shape.
enum class Layout {
  kSame,               // vectors, linear weights [O, I], embeddings
  kConvOIHW,           // theirs [O, I/groups, Kh, Kw], ours [O, Kh, Kw, I/groups]
  kConvTransposeIOHW,  // theirs [I, O/groups, Kh, Kw], ours [I, Kh, Kw, O/groups]
};

class Module;

struct InferenceOptions {
  // Of activations, and of the weights that layers multiply them with: f32, or bf16 where the device has kernels for it
  // (docs/precision.md). Sums, logits and results are f32 in both.
  DType dtype = DType::kF32;
  bool winograd = true;  // Winograd's algorithm where it pays (ops/conv2d.h); off: the direct convolution everywhere
  bool graph = false;  // forward passes of a size that comes again as a graph (tensor/device_graph.h), where the device
                       // has graphs; a model keeps them in its forward (models/replay.h)
};

class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void parameter(const std::string& name, Var& var, Layout layout = Layout::kSame) = 0;
  virtual void buffer(const std::string& name, Tensor& tensor) = 0;  // state that is saved but not trained
  // Without a name the child's parts stand among its owner's: a unit whose layers the reference names one by one
  // (nn/conv_norm.h) has their full names. Parameters of its own come first of the owner's state, as in PyTorch.
  virtual void child(const std::string& name, Module& module) = 0;
  template <class M>
  void child(const std::string& name, std::optional<M>& module) {
    if (module) child(name, *module);
  }
};

class Module {
 public:
  virtual ~Module() = default;
  virtual void visit(Visitor& visitor) = 0;

  bool training() const { return training_; }
  void train(bool on = true);  // this module and all below; on: also unfuse()
  void eval() { train(false); }
  // The faster form for inference: weights that are folded together and packed once. It gives no gradients and does not
  // follow its weights; train(), to() and load_state() undo it. A module that has one overrides both; the others pass
  // them on to their children.
  virtual void fuse(const InferenceOptions& options);
  virtual void unfuse();
  void to(Device device);
  Device device();  // where its parameters and buffers lie; of the first of them
  void zero_grad();
  void freeze();  // nothing in it is trained any more

 private:
  void set_training(bool on);

  bool training_ = true;
};

// One entry of a module's state, in visiting order.
struct StateEntry {
  std::string name;  // "backbone.res2.0.conv1.weight"
  Tensor tensor;     // shares the module's memory
  Var* parameter;    // null for buffers
  Layout layout;
};

// Prepares a model whose weights are final: evaluation mode, and the fused form of all that has one. The results are
// the same within rounding. Weights that change afterwards are seen only after train(), load_state() or to().
void fuse_for_inference(Module& module, const InferenceOptions& options = {});

std::vector<StateEntry> state(Module& module);
std::vector<std::pair<std::string, Var*>> named_parameters(Module& module);
i64 count_parameters(Module& module, bool trainable_only = false);

// State dict as our files hold it: names and tensors in our layout. The tensors share the module's memory.
std::vector<NamedTensor> state_dict(Module& module);

// What happened to each name when weights were loaded.
struct LoadReport {
  std::vector<std::string> loaded, missing, unexpected, mismatched;  // mismatched: "name: file [..], model [..]"
  // One line, by module: "backbone.*: 53 of 53 loaded; decoder.*: 52 missing; not in the model: fc.bias".
  std::string str() const;
};
enum class Strictness {
  kExact,     // any missing, unexpected or mis-shaped tensor is an error that tells of all of them at once
  kMatching,  // copies what fits and reports the rest (fine-tuning from other weights)
};

// Copies tensors into the module by name; dtypes are converted. NaN or infinity in one is an error. reference_layout:
// the tensors are laid out as PyTorch lays them out and are transposed by the rule of each layer. `rename` maps a name
// of the file to ours (empty: skip).
LoadReport load_state(Module& module, const std::vector<NamedTensor>& tensors, Strictness strictness,
                      bool reference_layout, const std::function<std::string(const std::string&)>& rename = nullptr);

// Conversion of one tensor between layouts; both kinds of convolution: [A, B, Kh, Kw] <-> [A, Kh, Kw, B].
Tensor to_ours(const Tensor& theirs, Layout layout);
Tensor to_theirs(const Tensor& ours, Layout layout);

}  // namespace tessera::nn
