// Adds the gradients of several processes up, in buckets that travel while backward() still computes the next ones.
#pragma once

#include <unordered_map>
#include <vector>

#include "nn/module.h"
#include "train/communicator.h"

namespace tessera {

// The sums have a fixed order: that of the communicator for each bucket, and which parameters make up a bucket depends
// on nothing but the model. With one process there is nothing to do, and nothing is done.
class GradientSums {
 public:
  // Of the parameters that require a gradient. The module must outlive it.
  GradientSums(Communicator& communicator, nn::Module& module);

  // While backward() runs, the last of a step: expect() for every leaf that it reaches, of the parameter it belongs to,
  // then ready() when nothing more will be added to that one's gradient. Where complete() says so, send() begins the
  // sums of what has all its gradients.
  void expect(const void* parameter);  // Var::identity
  void ready(const void* parameter);
  bool complete() const { return sent_ < buckets_.size() && buckets_[sent_].missing == 0; }
  void send();

  // After backward(): the parameters have the sums. One without a gradient here takes part with zeros; one without a
  // gradient on any rank has none.
  void finish();

 private:
  struct Bucket {
    std::vector<Var*> parameters;
    i64 missing = 0;  // leaves that are not ready
    Tensor sum;       // f32 [all of their numbers]
  };
  void send_next();

  Communicator& communicator_;
  std::vector<Bucket> buckets_;                        // in the order in which they travel
  std::unordered_map<const void*, size_t> bucket_of_;  // of a parameter
  size_t sent_ = 0;                                    // buckets under way
};

}  // namespace tessera
