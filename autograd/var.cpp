#include "autograd/var.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "ops/pointwise.h"
#include "ops/precision.h"

namespace tessera {

struct Node {
  u64 age = 0;                                 // creation order: larger than that of every input
  const char* op = "leaf";
  Tensor grad;
  std::vector<std::shared_ptr<Node>> inputs;   // null entries: inputs that need no gradient
  Backward backward;                           // empty for leaves, and for nodes already consumed
  Arithmetic arithmetic = tessera::arithmetic();  // of the forward, which the backward shares

  // A long chain of nodes is freed in a loop: left to the members, each node would free the next one deeper in the stack.
  ~Node() {
    std::vector<std::shared_ptr<Node>> doomed = std::move(inputs);
    while (!doomed.empty()) {
      const std::shared_ptr<Node> node = std::move(doomed.back());
      doomed.pop_back();
      if (node && node.use_count() == 1) std::move(node->inputs.begin(), node->inputs.end(), std::back_inserter(doomed));
    }
  }
};

// The only place that sees both Var and Node.
struct Tape {
  static std::shared_ptr<Node> make_node() {
    static std::atomic<u64> count{0};
    auto node = std::make_shared<Node>();
    node->age = ++count;
    return node;
  }

  static void accumulate(Node& node, Tensor gradient) {
    if (!node.grad.defined()) {
      node.grad = std::move(gradient);
    } else if (node.grad.unique()) {
      ops::add_into(node.grad, gradient);
    } else {  // somebody else sees this memory: do not write into it
      node.grad = ops::add(node.grad, gradient);
    }
  }

  static Var record(const char* op, Tensor value, const std::vector<Var>& inputs, Backward backward) {
    Var result(std::move(value));
    if (NoGrad::active()) return result;
    bool wanted = false;
    for (const Var& input : inputs) wanted |= input.requires_grad();
    if (!wanted) return result;
    result.node_ = make_node();
    result.node_->op = op;
    for (const Var& input : inputs) result.node_->inputs.push_back(input.node_);
    result.node_->backward = std::move(backward);
    return result;
  }

  // Which nodes below `root` are leaves, and how often the others add to the gradient of each.
  using Uses = std::unordered_map<const Node*, i64>;
  static Uses count_uses(const Node* root) {
    Uses uses;
    std::unordered_set<const Node*> seen{root};
    std::vector<const Node*> open{root};
    while (!open.empty()) {
      const Node* node = open.back();
      open.pop_back();
      for (const std::shared_ptr<Node>& input : node->inputs) {
        if (!input) continue;
        if (input->inputs.empty()) ++uses[input.get()];
        if (seen.insert(input.get()).second) open.push_back(input.get());
      }
    }
    return uses;
  }

  // Leaves keep their gradients, in memory of their own: optimisers scale it in place.
  static void keep_gradient(Node& leaf) {
    if (!leaf.grad.unique()) leaf.grad = leaf.grad.clone();
  }

  static void run(const std::shared_ptr<Node>& root, const Tensor& gradient, LeafObserver* observer) {
    Uses uses;
    if (observer) {
      uses = count_uses(root.get());
      std::vector<const void*> leaves;
      for (const auto& [leaf, count] : uses) leaves.push_back(leaf);
      observer->begin(leaves);
    }
    const auto older = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->age < b->age; };
    std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, decltype(older)> ready(older);
    accumulate(*root, gradient);
    ready.push(root);
    while (!ready.empty()) {
      const std::shared_ptr<Node> node = ready.top();
      ready.pop();
      if (!node->grad.defined()) continue;  // pushed twice, already done; or a leaf's was taken by the observer
      if (node->inputs.empty()) {
        keep_gradient(*node);
        continue;
      }
      TESSERA_CHECK(node->backward, "{}: backward was already run through this node; run the forward again", node->op);
      const Tensor gy = std::move(node->grad);
      node->grad = Tensor();
      Gradients gradients(node->inputs);
      const ArithmeticScope scope(node->arithmetic);
      node->backward(gy, gradients);
      node->backward = nullptr;  // free what it kept before going on
      for (const std::shared_ptr<Node>& input : node->inputs) {
        if (!input) continue;
        if (input->grad.defined()) ready.push(input);
        if (observer && input->inputs.empty() && --uses[input.get()] == 0) {
          if (input->grad.defined()) keep_gradient(*input);
          observer->done(input.get());
        }
      }
    }
  }

  static Node* node(const Var& var) { return var.node_.get(); }
};

namespace {
thread_local bool no_grad = false;
}

Var::Var(Tensor value, bool requires_grad) : value_(std::move(value)) {
  if (requires_grad) node_ = Tape::make_node();
}

bool Var::is_leaf() const { return !node_ || node_->inputs.empty(); }

void Var::set_requires_grad(bool wanted) {
  TESSERA_CHECK(is_leaf(), "set_requires_grad: only leaves can change, this is the output of {}", node_->op);
  if (wanted && !node_) node_ = Tape::make_node();
  if (!wanted) node_ = nullptr;
}

const Tensor& Var::grad() const {
  TESSERA_CHECK(node_, "grad: this Var does not require a gradient");
  return node_->grad;
}

Tensor& Var::grad() { return const_cast<Tensor&>(static_cast<const Var*>(this)->grad()); }

void Var::zero_grad() {
  if (node_) node_->grad = Tensor();
}

void Var::backward() const {
  TESSERA_CHECK(value_.defined() && value_.numel() == 1, "backward: a scalar is needed, got {}; give the gradient for other shapes", shape());
  backward(Tensor::full(shape(), 1, value_.dtype(), value_.device()));
}

void Var::backward(const Tensor& gradient, LeafObserver* observer) const {
  TESSERA_CHECK(node_, "backward: nothing below this value requires a gradient");
  TESSERA_CHECK(gradient.shape() == shape(), "backward: the gradient is {}, the value {}", gradient.shape(), shape());
  Tape::run(node_, gradient, observer);
}

bool Gradients::needs(int input) const { return inputs_.at(static_cast<size_t>(input)) != nullptr; }

void Gradients::add(int input, Tensor gradient) {
  if (needs(input)) Tape::accumulate(*inputs_[static_cast<size_t>(input)], std::move(gradient));
}

Var record(const char* op, Tensor value, const std::vector<Var>& inputs, Backward backward) {
  return Tape::record(op, std::move(value), inputs, std::move(backward));
}

Backward no_derivative(const char* op) {
  return [op](const Tensor&, Gradients&) { fail("{}: has no derivative; detach() its input if that is intended", op); };
}

NoGrad::NoGrad() : outer_(no_grad) { no_grad = true; }
NoGrad::~NoGrad() { no_grad = outer_; }
bool NoGrad::active() { return no_grad; }

}  // namespace tessera
