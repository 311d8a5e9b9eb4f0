#include "train/gradient_sums.h"

#include <algorithm>
#include <ranges>

#include "ops/arrange.h"

namespace tessera {

namespace {

// Large enough that a message's own time is nothing, small enough that the last bucket, which nothing hides, is short.
constexpr i64 kBucket = i64{2} << 20;  // numbers, 8 MB

Tensor flat(const Tensor& tensor) {
  return tensor.reshape({tensor.numel()});
}

}  // namespace

GradientSums::GradientSums(Communicator& communicator, nn::Module& module) : communicator_(communicator) {
  if (communicator.size() == 1) return;
  // Backward reaches the last layers first.
  const auto parameters = nn::named_parameters(module);
  i64 numbers = kBucket;
  for (const auto& [name, parameter] : parameters | std::views::reverse) {
    if (!parameter->requires_grad()) continue;
    if (numbers >= kBucket) buckets_.emplace_back(), numbers = 0;
    numbers += parameter->value().numel();
    buckets_.back().parameters.push_back(parameter);
    bucket_of_[parameter->identity()] = buckets_.size() - 1;
  }
}

void GradientSums::expect(const void* parameter) {
  const auto place = bucket_of_.find(parameter);
  if (place != bucket_of_.end()) ++buckets_[place->second].missing;
}

void GradientSums::ready(const void* parameter) {
  const auto place = bucket_of_.find(parameter);
  if (place != bucket_of_.end()) --buckets_[place->second].missing;
}

void GradientSums::send() {
  while (complete()) send_next();
}

void GradientSums::send_next() {
  Bucket& bucket = buckets_[sent_++];
  std::vector<Tensor> parts;
  for (const Var* parameter : bucket.parameters) {
    const Tensor& value = parameter->value();
    parts.push_back(
        flat(parameter->grad() ? parameter->grad() : Tensor::zeros(value.shape(), value.dtype(), value.device())));
  }
  bucket.sum = ops::concat(parts, 0);
  communicator_.begin_sum(bucket.sum);
}

void GradientSums::finish() {
  if (communicator_.size() == 1) return;
  while (sent_ < buckets_.size()) send_next();
  sent_ = 0;
  std::string mine;  // which parameters have a gradient
  for (const Bucket& bucket : buckets_)
    for (const Var* parameter : bucket.parameters) mine += parameter->grad() ? '1' : '0';
  const std::vector<std::string> all = communicator_.gather(mine);
  communicator_.wait();
  size_t at = 0;
  for (Bucket& bucket : buckets_) {
    i64 begin = 0;
    for (Var* parameter : bucket.parameters) {
      const i64 end = begin + parameter->value().numel();
      const bool anywhere = std::ranges::any_of(all, [&](const std::string& rank) { return rank[at] == '1'; });
      if (anywhere) parameter->grad() = bucket.sum.rows(begin, end).reshape(parameter->shape());
      begin = end;
      ++at;
    }
    bucket.sum = Tensor();
    bucket.missing = 0;
  }
}

}  // namespace tessera
