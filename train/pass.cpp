#include "train/pass.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "train/buffers.h"

namespace tessera {

void add_to(Figures& figures, const std::string& name, double value) {
  const auto place =
      std::find_if(figures.begin(), figures.end(), [&](const auto& known) { return known.first == name; });
  if (place == figures.end()) {
    figures.emplace_back(name, value);
  } else {
    place->second += value;
  }
}

namespace {

// Gives what backward() has finished to the sums of all processes.
class Sender : public LeafObserver {
 public:
  Sender(nn::WorkingWeights::Pass& pass, GradientSums& sums) : pass_(pass), sums_(sums) {}

  void begin(const std::vector<const void*>& leaves) override {
    for (const void* leaf : leaves) sums_.expect(pass_.parameter_of(leaf));
  }
  void done(const void* leaf) override {
    finished_.push_back(leaf);
    sums_.ready(pass_.parameter_of(leaf));
    if (!sums_.complete()) return;
    pass_.finish(finished_);
    finished_.clear();
    sums_.send();
  }

 private:
  nn::WorkingWeights::Pass& pass_;
  GradientSums& sums_;
  std::vector<const void*> finished_;  // and not sent
};

// seed: the gradient of the total, weights[0].
BatchLosses forward_and_backward(const std::vector<double>& weights, const Tensor& seed,
                                 nn::WorkingWeights& working_weights, const std::function<Losses()>& losses,
                                 GradientSums* sums = nullptr) {
  nn::WorkingWeights::Pass pass(working_weights);
  BatchLosses result{.losses = losses(), .total = {}, .weights = weights};
  std::vector<double> beside_the_first;
  for (const double weight : weights) beside_the_first.push_back(weight / weights[0]);
  const Var sum = result.losses.total(beside_the_first);
  result.total = sum.value();
  std::optional<Sender> sender;
  if (sums) sender.emplace(pass, *sums);
  sum.backward(seed.reshape(result.total.shape()), sender ? &*sender : nullptr);
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
  const auto take = [&](const std::string& name, double weight) {
    values += fmt::format("{}{} {:.6g}", values.empty() ? "" : ", ", name, *number);
    if (!std::isfinite(*number) && bad.empty()) bad = name;
    return weight * *number++;
  };
  for (const LossTerm& term : losses.terms) add_to(record.losses, term.name, take(term.name, weights[term.normaliser]));
  record.loss += take("their sum", weights[0]);
  TESSERA_CHECK(bad.empty(), "{} is not finite ({})", bad, values);
}

BatchLosses Passes::operator()(Segmenter& model, const Batch& batch, const std::vector<double>& weights,
                               const StepContext& context, GradientSums* sums) {
  if (replayed_)
    if (const std::optional<Segmenter::Prepared> prepared = model.prepare(batch))
      return replay(model, *prepared, weights);
  const Tensor seed = Tensor::full({1}, weights[0], DType::kF32, model.device());
  return forward_and_backward(
      weights, seed, working_weights_, [&] { return model.losses(batch, context); }, sums);
}

BatchLosses Passes::replay(Segmenter& model, const Segmenter::Prepared& prepared, const std::vector<double>& weights) {
  TESSERA_CHECK(weights.size() == 1, "training.graph: of a model whose terms have several normalisers");
  // The weight changes from step to step where there are several processes: it is data, and no part of the work.
  std::vector<Tensor> given = prepared.tensors;
  given.push_back(Tensor::full({1}, weights[0], DType::kF32, model.device()));
  const auto working_weights = std::make_shared<nn::WorkingWeights>();
  const auto work = [&](std::vector<Tensor> tensors) {
    model.zero_grad();  // also what a recording left for itself
    const Tensor seed = tensors.back();
    tensors.pop_back();
    Recorded recorded{.working_weights = working_weights};
    recorded.result = forward_and_backward({1}, seed, *working_weights, [&] {
      return model.losses_of({tensors, prepared.counts});
    });
    for (LossTerm& term : recorded.result.losses.terms) term.value = Var(term.value.value());
    for (const auto& [name, parameter] : nn::named_parameters(model))
      if (parameter->grad().defined()) recorded.gradients.emplace_back(parameter, parameter->grad());
    return recorded;
  };
  const auto keep = [&] { return [buffers = std::make_shared<Buffers>(model)] { buffers->put_back(); }; };
  Recorded recorded = graphs_(given, prepared.counts, work, keep);
  for (const auto& [parameter, gradient] : recorded.gradients) parameter->grad() = gradient;
  recorded.result.weights = weights;
  return recorded.result;
}

}  // namespace tessera
