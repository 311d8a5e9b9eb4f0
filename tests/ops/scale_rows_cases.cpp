#include "ops/scale_rows.h"
#include "tests/ops/op_case.h"

namespace tessera::test {

namespace {

// Entries of target, source and scale; what becomes of the targets.
Outputs scaled(const Vars& v, bool accumulate) {
  std::vector<ops::ScaledRows> list;
  for (size_t k = 0; k < v.size(); k += 3)
    list.push_back({v[k].value().clone(), v[k + 1].value(), v[k + 2] ? v[k + 2].value() : Tensor(), accumulate});
  ops::scale_rows(list);
  Outputs outputs{};
  for (const ops::ScaledRows& entry : list) outputs.emplace_back(entry.target);
  return outputs;
}

References scaled_reference(const Tensors& t, bool accumulate) {
  References results{};
  for (size_t k = 0; k < t.size(); k += 3) {
    Tensor y = t[k].clone();
    for (i64 i = 0; i < y.numel(); ++i) {
      const double scale = t[k + 2] ? t[k + 2].data<double>()[i * t[k + 2].numel() / y.numel()] : 1;
      double& value = y.data<double>()[i];
      value = (accumulate ? value : 0) + t[k + 1].data<double>()[i] * scale;
    }
    results.push_back(y);
  }
  return results;
}

}  // namespace

OP_CASES(scale_rows) {
  std::vector<Shape> many;
  for (i64 i = 0; i < 300; ++i) many.push_back({1 + i % 7, i % 3});
  std::vector<int> scales;  // stay f32
  for (int k = 2; k < 900; k += 3) scales.push_back(k);
  in_bf16(scales);
  for (const auto& [name, shapes] : {std::pair{"no tensor", std::vector<Shape>{}},
                                     {"mixed sizes", {{7, 3}, {0, 4}, {3, 23333}, {1}, {4097}, {64, 3, 3, 5}}},
                                     {"300 tensors", many}})
    for (const bool accumulate : {false, true})
      for (const bool with_scale : {true, false}) {
        std::vector<Input> inputs;
        for (const Shape& shape : shapes)
          for (const Input& input : {uniform(shape), uniform(shape), with_scale ? uniform({shape[0]}) : absent()})
            inputs.push_back(input);
        add({.name = fmt::format("{}{}{}", name, with_scale ? "" : ", no scale", accumulate ? ", accumulate" : ""),
             .in = inputs,
             .run = [=](const Vars& v) { return scaled(v, accumulate); },
             .reference = [=](const Tensors& t) { return scaled_reference(t, accumulate); }});
      }
  only_f32();
  const auto refused = [this](const std::string& name, const std::string& message, ops::ScaledRows entry) {
    error(name, message, [=] {
      ops::ScaledRows one = entry;
      ops::scale_rows({&one, 1});
    });
  };
  const Tensor map = Tensor::zeros({2, 3});
  refused("shapes", "scale_rows: source 0 is [3, 2], the target [2, 3]", {map, Tensor::zeros({3, 2})});
  refused("nothing", "scale_rows: target or source 0 is undefined", {map, Tensor()});
  refused("integers", "scale_rows: dtype i64 is not supported", {map, Tensor::zeros({2, 3}, DType::kI64)});
  refused("scale", "scale_rows: scale 0 is f32 [3]", {map, map.clone(), Tensor::zeros({3})});
  bench({.name = "25 of [512, 4608]",
         .in =
             [] {
               std::vector<Input> inputs;
               for (int i = 0; i < 25; ++i)
                 for (const Input& input : {uniform({512, 4608}), uniform({512, 4608}), uniform({512})})
                   inputs.push_back(input);
               return inputs;
             }(),
         .run = [](const Vars& v) { return scaled(v, false); },
         .bytes = 25.0 * 512 * 4608 * 8});
}

}  // namespace tessera::test
