// The weights of a network as a training step works with them: in the element type of its activations, and multiplied
// by the scale that a normalisation with fixed statistics folds into a convolution (nn/conv_norm.h). All of a model's
// are made by one operator when a pass begins, and their gradients are added to those of the parameters by one when it
// ends: on a GPU a few launches, where two to four per layer would be more than a third of a step's.
//
//   WorkingWeights weights;                     // as long as the model is trained
//   {
//     WorkingWeights::Pass pass(weights);
//     model.losses(batch, {}).total().backward();   // layers ask with working_weight()
//     pass.finish();
//   }
//
// In inference, where the weights are final, WorkingWeights::Final takes the place of the pass: what a layer asks for
// is made once.
//
// What a pass asked for is made at the next one's beginning; what it did not ask for is forgotten. The first pass makes
// it piece by piece, to the same bits. A bf16 weight that several operators of a pass read adds up their gradients in
// bf16, as PyTorch's autocast does, since all read one copy.
#pragma once

#include <map>
#include <span>
#include <utility>

#include "autograd/var.h"

namespace tessera::nn {

class WorkingWeights {
 public:
  // While one lives, layers that run on this thread get their weights of it. There is no other within it.
  class Pass {
   public:
    explicit Pass(WorkingWeights& weights);
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    void finish();  // after backward(): the parameters get their gradients

    // Of a leaf of backward() (Var::identity) that is a working weight: the parameter's identity; else the leaf itself.
    const void* parameter_of(const void* leaf) const;
    // Before finish(), for leaves whose gradients are final: what it would do for them.
    void finish(std::span<const void* const> leaves);

   private:
    WorkingWeights& weights_;
  };

  // While one lives, layers that run on this thread get what was made of their weights at the first time, as long as
  // the WorkingWeights live: a recorded graph may read it. Of parameters that are trained; the others are converted
  // each time.
  class Final {
   public:
    explicit Final(WorkingWeights& weights);
    ~Final();
    Final(const Final&) = delete;
    Final& operator=(const Final&) = delete;
  };

 private:
  friend Var working_weight(const Var& parameter, const Tensor& scale, DType dtype);

  struct Entry {
    Var parameter;
    Tensor scale;  // undefined: 1
    Var working;   // a leaf of its own, so backward() leaves its gradient there
    bool asked = true;
  };
  const Var& get(const Var& parameter, const Tensor& scale, DType dtype);
  template <class Chosen>
  void give_gradients(const Chosen& chosen);  // of those entries to their parameters

  std::map<std::pair<const void*, DType>, Entry> entries_;  // by the parameter's memory and the element type
};

// parameter[r, ..] scale[r] in an element type; scale [R] is a constant, or undefined: 1. The parameter itself where
// nothing is to be done; undefined stays undefined.
Var working_weight(const Var& parameter, const Tensor& scale, DType dtype);

}  // namespace tessera::nn
