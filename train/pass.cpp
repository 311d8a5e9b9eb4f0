#include "train/pass.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "autograd/pointwise.h"
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

// The weights of the losses beside the first one, which is the gradient of their total.
std::vector<double> beside_the_first(const std::vector<double>& weights) {
  std::vector<double> factors;
  for (const double weight : weights) factors.push_back(weight / weights[0]);
  return factors;
}

// seed: the gradient of the total.
BatchLosses forward_and_backward(const Tensor& seed, nn::WorkingWeights& working_weights,
                                 const std::function<Losses()>& losses, const std::function<Var(const Losses&)>& total,
                                 GradientSums* sums = nullptr) {
  nn::WorkingWeights::Pass pass(working_weights);
  BatchLosses result{.losses = losses(), .total = {}, .weights = {}};
  const Var sum = total(result.losses);
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
  BatchLosses result = forward_and_backward(
      Tensor::full({1}, weights[0], DType::kF32, model.device()), working_weights_,
      [&] { return model.losses(batch, context); },
      [&](const Losses& losses) { return losses.total(beside_the_first(weights)); }, sums);
  result.weights = weights;
  return result;
}

BatchLosses Passes::replay(Segmenter& model, const Segmenter::Prepared& prepared, const std::vector<double>& weights) {
  // Weights change from step to step where there are several processes: they are data, and no part of the work.
  std::vector<double> factors = beside_the_first(weights);
  factors[0] = weights[0];
  std::vector<Tensor> given = prepared.tensors;
  for (const double factor : factors) given.push_back(Tensor::full({1}, factor, DType::kF32, model.device()));
  const auto working_weights = std::make_shared<nn::WorkingWeights>();
  const auto work = [&](std::vector<Tensor> tensors) {
    model.zero_grad();  // also what a recording left for itself
    const std::vector<Tensor> weighing(tensors.begin() + std::ssize(prepared.tensors), tensors.end());
    tensors.resize(prepared.tensors.size());
    const auto total = [&](Losses losses) {
      for (LossTerm& term : losses.terms)
        if (term.normaliser > 0)
          term.value = term.value * Var(weighing[term.normaliser].reshape(term.value.value().shape()));
      return losses.total();
    };
    Recorded recorded{.working_weights = working_weights};
    recorded.result = forward_and_backward(
        weighing[0], *working_weights,
        [&] {
          return model.losses_of({tensors, prepared.counts});
        },
        total);
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
