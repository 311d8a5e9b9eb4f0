// Reverse-mode differentiation on tensors.
//
// A Var is a value and, when gradients are wanted, a node of the tape. A node knows the nodes of its inputs and one
// function that turns the gradient of the output into the gradients of the inputs. backward() walks the nodes from the
// newest to the oldest: a node is always younger than its inputs, so this order is topological.
//
//   Var relu(const Var& x) {                                        // an operator and its derivative, side by side
//     Tensor y = ops::relu(x.value());
//     return record("relu", y, {x}, [y](const Tensor& gy, Gradients& gradients) {
//       gradients.add(0, ops::relu_backward(gy, y));
//     });
//   }
//
// The closure keeps only what the backward needs; everything else dies with the last Var that holds it. It runs with
// the arithmetic (ops/precision.h) that held when it was recorded. There is no double backward.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace tessera {

struct Node;

// Watches backward() from within. Leaves are known by Var::identity.
class LeafObserver {
 public:
  virtual ~LeafObserver() = default;
  virtual void begin(const std::vector<const void*>& leaves) = 0;  // those that are reached
  virtual void done(const void* leaf) = 0;                         // nothing will be added to its gradient any more
};

class Var {
 public:
  Var() = default;                                                  // undefined: an absent optional argument
  explicit Var(Tensor value, bool requires_grad = false);           // a leaf

  bool defined() const { return value_.defined(); }
  explicit operator bool() const { return defined(); }
  const Tensor& value() const { return value_; }
  Tensor& value() { return value_; }                                // optimisers and loaders write into leaves
  const Shape& shape() const { return value_.shape(); }
  i64 dim(int position) const { return value_.dim(position); }
  int rank() const { return value_.rank(); }

  bool requires_grad() const { return node_ != nullptr; }
  bool is_leaf() const;                                             // not the output of a recorded operator
  bool is(const Var& other) const {                                 // the same memory, and the same gradient
    return value_.same_memory(other.value_) && node_ == other.node_;
  }
  void set_requires_grad(bool wanted);                              // leaves only
  const Tensor& grad() const;                                       // undefined before the first backward
  Tensor& grad();
  void zero_grad();                                                 // forgets the gradient
  Var detach() const { return Var(value_); }                        // the same value, cut off from the tape

  // Adds d(this)/d(leaf) to the gradient of every leaf below. `this` must have one element; its own gradient is 1.
  // The tape below is consumed: closures and what they kept are freed as the walk passes them.
  void backward() const;
  void backward(const Tensor& gradient, LeafObserver* observer = nullptr) const;  // any shape, from d(loss)/d(this)

  const void* identity() const { return node_.get(); }              // of what the gradient belongs to; null: to nothing

 private:
  friend struct Tape;
  Tensor value_;
  std::shared_ptr<Node> node_;                                      // null: no gradient wanted
};

// Where a backward function puts its results. Index = position in the list of inputs given to record().
class Gradients {
 public:
  bool needs(int input) const;             // does anybody want this gradient? Ask before computing it.
  void add(int input, Tensor gradient);    // accumulates; a no-op for inputs that need none

 private:
  friend struct Tape;
  explicit Gradients(const std::vector<std::shared_ptr<Node>>& inputs) : inputs_(inputs) {}
  const std::vector<std::shared_ptr<Node>>& inputs_;
};

using Backward = std::function<void(const Tensor& gy, Gradients& gradients)>;

// The output of operator `op` as a Var. Recorded only when gradients are on and an input needs one; undefined inputs
// (absent optional arguments) are allowed.
Var record(const char* op, Tensor value, const std::vector<Var>& inputs, Backward backward);

// For an operator without a derivative whose input may need one: reaching it in backward throws with its name.
Backward no_derivative(const char* op);

// While one lives, nothing is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;
  static bool active();

 private:
  bool outer_;
};

}  // namespace tessera
