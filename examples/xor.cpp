// A network of two layers learns exclusive or, which no single layer can.
#include <fmt/core.h>
#include <tessera/tessera.h>

using namespace tessera;

struct Network : nn::Module {
  Random random{7};
  nn::Linear hidden{2, 8, random}, output{8, 1, random};

  Var operator()(const Var& x) const { return output(tanh(hidden(x))); }  // [N, 2] -> [N, 1], logits
  void visit(nn::Visitor& v) override {
    v.child("hidden", hidden);
    v.child("output", output);
  }
};

int main() {
  const Var x(Tensor::from<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2}));
  const Tensor wanted = Tensor::from<float>({0, 1, 1, 0}, {4, 1});

  Network network;
  Optimizer optimizer({.lr = 0.05, .weight_decay = 0}, network);
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    const Var loss = binary_cross_entropy_with_logits(network(x), wanted, Reduction::kMean);
    loss.backward();
    optimizer.step(1);
    if (step % 50 == 0) fmt::print("step {:3}  loss {:.4f}\n", step, loss.value().item());
  }

  const NoGrad no_grad;
  const Tensor answer = sigmoid(network(x)).value();
  bool right = true;
  for (i64 i = 0; i < 4; ++i) {
    const float a = x.value().data<float>()[2 * i], b = x.value().data<float>()[2 * i + 1];
    fmt::print("{} xor {} = {:.3f}\n", a, b, answer.data<float>()[i]);
    right = right && (answer.data<float>()[i] > 0.5f) == (wanted.data<float>()[i] > 0.5f);
  }
  return right ? 0 : 1;
}
