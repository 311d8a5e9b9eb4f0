// A small convolutional network tells the outlines of circles, rectangles and triangles apart, drawn as it goes.
#include <fmt/core.h>
#include <tessera/tessera.h>

using namespace tessera;

struct Classifier : nn::Module {
  Random random{7};
  nn::Conv2d conv1{{.in = 1, .out = 16, .kernel = 3, .stride = 2}, random};
  nn::Conv2d conv2{{.in = 16, .out = 32, .kernel = 3, .stride = 2}, random};
  nn::Linear classes{32, 3, random};

  Var operator()(const Var& images) const {                 // [N, 24, 24, 1]
    const Var features = relu(conv2(relu(conv1(images))));  // [N, 5, 5, 32]
    return classes(max(max(features, 2), 1));               // [N, 3], logits
  }
  void visit(nn::Visitor& v) override {
    v.child("conv1", conv1);
    v.child("conv2", conv2);
    v.child("classes", classes);
  }
};

std::pair<Var, Tensor> draw(ShapesSplit split, i64 first, i64 count) {
  Tensor images = Tensor::empty({count, 24, 24, 1});
  std::vector<i64> classes;
  for (i64 n = 0; n < count; ++n) {
    const ShapesPicture picture = draw_shapes({.size = 48, .max_objects = 1}, split, first + n);
    images.rows(n, n + 1).copy_from(resize_bilinear(picture.owners, {24, 24}).to(DType::kF32).reshape({1, 24, 24, 1}));
    classes.push_back(picture.classes[0]);
  }
  return {Var(images), Tensor::from(classes)};
}

int main() {
  Classifier network;
  Optimizer optimizer({.lr = 5e-3, .weight_decay = 0}, network);
  const auto [drawn, named] = draw(ShapesSplit::kTrain, 0, 640);
  for (i64 step = 0; step < 120; ++step) {
    const i64 first = 32 * (step % 20);
    optimizer.zero_grad();
    const Var logits = network(Var(drawn.value().rows(first, first + 32)));
    const Var loss = cross_entropy(logits, named.rows(first, first + 32), Reduction::kMean);
    loss.backward();
    optimizer.step(1);
    if (step % 30 == 0) fmt::print("step {:3}  loss {:.3f}\n", step, loss.value().item());
  }
  const NoGrad no_grad;
  const auto [images, classes] = draw(ShapesSplit::kVal, 0, 100);
  const Tensor logits = network(images).value();
  i64 right = 0;
  for (i64 n = 0; n < 100; ++n) {
    const float* row = logits.data<float>() + 3 * n;
    right += std::max_element(row, row + 3) - row == classes.data<i64>()[n];
  }
  fmt::print("{} of 100 pictures it has not seen are named rightly\n", right);
  return right >= 60 ? 0 : 1;
}
