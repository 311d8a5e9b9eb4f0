#include "train/pass.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "train/buffers.h"

namespace tessera {

namespace {

void add_to(Figures& figures, const std::string& name, double value) {
  const auto place =
      std::find_if(figures.begin(), figures.end(), [&](const auto& known) { return known.first == name; });
  if (place == figures.end()) {
    figures.emplace_back(name, value);
  } else {
    place->second += value;
  }
}

BatchLosses forward_and_backward(double weight, nn::WorkingWeights& working_weights,
                                 const std::function<Losses()>& losses) {
  nn::WorkingWeights::Pass pass(working_weights);
  BatchLosses result{.losses = losses(), .total = {}, .weight = weight};
  const Var sum = result.losses.total();
  result.total = sum.value();
  sum.backward(Tensor::full(result.total.shape(), weight, result.total.dtype(), result.total.device()));
  pass.finish();
  return result;
}

}  // namespace

void BatchLosses::watch(std::vector<Tensor>& numbers) const {
  for (const FiniteMarks& marks : losses.marks) numbers.push_back(marks.marks);
  for (const LossTerm& term : losses.terms) numbers.push_back(term.value.value().reshape({1}));
  numbers.push_back(total.reshape({1}));
}

void BatchLosses::read(const double*& number, const Batch& batch, StepRecord& record) const {
  for (const FiniteMarks& marks : losses.marks)
    for (const Sample& sample : batch.samples)
      TESSERA_CHECK(std::isfinite(*number++), "{} of {} are not finite", marks.what, sample.name());
  std::string values, bad;
  const auto take = [&](const std::string& name) {
    values += fmt::format("{}{} {:.6g}", values.empty() ? "" : ", ", name, *number);
    if (!std::isfinite(*number) && bad.empty()) bad = name;
    return weight * *number++;
  };
  for (const LossTerm& term : losses.terms) add_to(record.losses, term.name, take(term.name));
  record.loss += take("their sum");
  TESSERA_CHECK(bad.empty(), "{} is not finite ({})", bad, values);
}

BatchLosses Passes::operator()(Segmenter& model, const Batch& batch, double weight, const StepContext& context) {
  if (replayed_)
    if (const std::optional<Segmenter::Prepared> prepared = model.prepare(batch))
      return replay(model, *prepared, weight);
  return forward_and_backward(weight, working_weights_, [&] { return model.losses(batch, context); });
}

BatchLosses Passes::replay(Segmenter& model, const Segmenter::Prepared& prepared, double weight) {
  const auto weights = std::make_shared<nn::WorkingWeights>();
  const auto work = [&](const std::vector<Tensor>& tensors) {
    model.zero_grad();  // also what a recording left for itself
    Recorded recorded{.working_weights = weights};
    recorded.result = forward_and_backward(weight, *weights, [&] {
      return model.losses_of({tensors, prepared.counts});
    });
    for (LossTerm& term : recorded.result.losses.terms) term.value = Var(term.value.value());
    for (const auto& [name, parameter] : nn::named_parameters(model))
      if (parameter->grad().defined()) recorded.gradients.emplace_back(parameter, parameter->grad());
    return recorded;
  };
  const auto keep = [&] { return [buffers = std::make_shared<Buffers>(model)] { buffers->put_back(); }; };
  const Recorded recorded = graphs_(prepared.tensors, prepared.counts, work, keep);
  for (const auto& [parameter, gradient] : recorded.gradients) parameter->grad() = gradient;
  return recorded.result;
}

}  // namespace tessera
