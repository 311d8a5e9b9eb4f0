// What every instance-segmentation model offers to training, evaluation and prediction.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/rle.h"
#include "data/sample.h"
#include "nn/module.h"
#include "nn/working_weights.h"
#include "tensor/random.h"

namespace tessera {

// One weighted term of the training loss; the total is the plain sum of all terms.
struct LossTerm {
  std::string name;       // "loss_ce"
  Var value;              // scalar
  size_t normaliser = 0;  // of Segmenter::normalisers
};

// One detected object, in the pixels of the original image.
struct Instance {
  i64 class_index = 0;  // 0 .. classes - 1, by ascending category id
  double score = 0;     // of the object: that of its mask where it has one
  Rle mask = {};        // 0 x 0: a detector's, which has none
  XywhBox box = {};
  double box_score = 0;  // by which boxes are ranked among boxes: a model may trust its box more than its mask
  i64 query = 0;         // which of the model's queries found it
  bool has_mask() const { return mask.height > 0; }

  // What a model finds that has masks alone, and the box is the mask's; or boxes alone. The box has the same score.
  static Instance of_mask(i64 class_index, double score, Rle mask, i64 query = 0);
  static Instance of_box(i64 class_index, double score, const XywhBox& box, i64 query = 0);
};

// The objects found in each image of a batch. Of a temporary, [] and at() give the list itself, not a reference into
// what is gone: for (const Instance& found : model.detect(batch).at(0)) is safe.
class Detections {
 public:
  Detections() = default;
  explicit Detections(i64 images) : lists_(static_cast<size_t>(images)) {}
  size_t size() const { return lists_.size(); }
  std::vector<Instance>& emplace_back() { return lists_.emplace_back(); }
  std::vector<Instance>& back() { return lists_.back(); }
  const std::vector<Instance>& operator[](size_t image) const& { return lists_[image]; }
  const std::vector<Instance>& at(size_t image) const& { return lists_.at(image); }
  std::vector<Instance> operator[](size_t image) && { return std::move(lists_[image]); }
  std::vector<Instance> at(size_t image) && { return std::move(lists_.at(image)); }

 private:
  std::vector<std::vector<Instance>> lists_;
};

// Throws unless all of `numbers`, on the host, are finite: `what` of the objects that a model looks for. No threshold
// keeps a NaN, so its object would be missing without a word.
void check_found(const char* what, const Tensor& numbers);

// What must be finite in a step beside its loss terms, found out without a wait for the device.
struct FiniteMarks {
  std::string what;  // "sparseinst matcher: pred_masks"
  Tensor marks;      // of each picture: 0, or NaN where they are not
};

// A part of a network that the classes or the size of the input decide: tensors whose names fit a pattern (fnmatch).
// Where the first dimension of them counts classes, these begin behind so many rows that mean the same whatever the
// classes are.
struct DependentPart {
  std::string names;                    // "iam.9.*"
  std::optional<i64> first_class = {};  // row of the first class
};

struct Losses {
  std::vector<LossTerm> terms;
  std::vector<FiniteMarks> marks = {};
  // The sum of the terms, each times the weight of its normaliser; none: 1.
  Var total(std::span<const double> weights = {}) const;
};

// Where a run is, for losses that change on the way or that draw at random.
struct StepContext {
  i64 step = 0;      // updates before this one
  double epoch = 0;  // passes over the data before it, counted in images
  u64 seed = 0;

  // Random numbers of this step, a stream for each purpose and number. With an image's index in the data for a number
  // they are the same in whatever batch it comes.
  Random random(std::string_view purpose, i64 number = 0) const;
};

class Segmenter : public nn::Module {
 public:
  // Training: the loss terms of one batch, recorded on the tape. The host does not wait for them.
  virtual Losses losses(const Batch& batch, const StepContext& context) = 0;

  // losses() in two parts, for passes that are replayed (train/pass.h): what the host brings to the device, and what
  // the device computes of it, the same work whenever the tensors' shapes and the counts are the same. Nothing: the
  // model's losses have no such parts.
  struct Prepared {
    std::vector<Tensor> tensors;
    std::vector<i64> counts;
  };
  virtual std::optional<Prepared> prepare(const Batch& /*batch*/) { return std::nullopt; }
  virtual Losses losses_of(const Prepared& prepared);

  // What the terms of a batch are divided by, where that depends on the batch: its objects; LossTerm::normaliser says
  // which of them. When several batches make one update (accumulated, or of several processes), each one's terms weigh
  // max(1, its normaliser) / max(1, the sum of all), so that the update is that of one large batch. None: the terms are
  // sums over the pictures. Parts of one batch are then added up, and accumulated batches averaged.
  virtual std::vector<double> normalisers(const Batch& /*batch*/) const { return {}; }
  // Inference: the objects found in each image of the batch.
  virtual Detections detect(const Batch& batch) = 0;

  virtual bool has_masks() const { return true; }        // else boxes alone, and masks are not evaluated
  virtual bool finds_segments() const { return false; }  // masks that share no pixel, which panoptic metrics judge

  // What is no object to a user though evaluation takes it: a score of at most this.
  virtual double score_threshold() const { return 0; }

  // The most objects that can be found in a picture, and the option that says so; nothing: there is no limit.
  struct Limit {
    i64 objects;
    std::string option;  // "model.num_masks"
  };
  virtual std::optional<Limit> object_limit() const { return std::nullopt; }

  // The parts that weights of the same network for other classes, or for another input, need not fit.
  virtual std::vector<DependentPart> dependent_parts() const { return {}; }

  // Of what losses() could learn nothing so far, a line for the end of a run; empty: nothing.
  virtual std::string passed_over() const { return {}; }

  // Pictures of where a query looks, over the padded input of a batch: f32 [N, h, w, maps], values in [0, 1]. Map q is
  // that of the instances with query q. Most models have none.
  virtual i64 activation_map_count() const { return 0; }
  virtual Tensor activation_maps(const Batch& batch);

  // Stages in which detect() refines the mask of each box; 0: it does not. Under nn::Intermediates a detection in one
  // picture then keeps, R boxes long, "stages.query", i64 [R], whose instances have that mask, "stages.boxes", f32
  // [R, 4], x0 y0 x1 y1 in pixels of the padded picture, and of stage s "stages.mask.<s>", f32 [R, S, S], logits, and
  // "stages.active.<s>", u8 [R, S, S], which cells the stage computed.
  virtual size_t refinement_stages() const { return 0; }

  // For measuring with weights that are not trained: detect() finds so many objects, of so many queries, in every
  // picture, whatever their scores. Models whose work does not depend on what they find pass it by.
  struct Found {
    i64 objects, queries;
  };
  std::optional<Found> given;

  // What losses() computes activations in: f32, or bf16 for mixed precision (docs/precision.md). Weights, matching and
  // losses are f32 in both. What detect() computes in is said when the model is fused for inference.
  DType training_dtype = DType::kF32;

  void fuse(const nn::InferenceOptions& options) override;
  void unfuse() override;

 protected:
  // While one lives, as long as detect() runs: there are no gradients, and layers have their weights in the element
  // type that the model was fused for.
  class Inference {
   public:
    explicit Inference(Segmenter& model);
    Var images(const Batch& batch) const;  // the network's input, [N, H, W, 3], in that type

   private:
    Segmenter& model_;
    NoGrad no_grad_;
    std::optional<nn::WorkingWeights::Final> weights_;  // where their type is another than the parameters'
  };

 private:
  DType inference_dtype_ = DType::kF32;
  nn::WorkingWeights inference_weights_;
};

}  // namespace tessera
