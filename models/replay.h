// Work of a network as graphs (tensor/device_graph.h), one per sizes of the tensors that it reads: forward passes, or
// passes of training.
//
// A size is recorded when it comes for the second time: recording costs two passes and keeps the memory of one, which
// pictures of ever different sizes would never pay back. Of the sizes that came last some are remembered, so one that
// comes again after many others counts as new. The precision (ops/precision.h) is part of the size.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <vector>

#include "ops/precision.h"
#include "tensor/device_graph.h"
#include "tensor/tensor.h"

namespace tessera {

template <class Output>
class Replay {
 public:
  explicit Replay(size_t kept) : kept_(kept) {}  // so many sizes are remembered

  // work(inputs), the same bits. inputs: of one device; counts: numbers of the host that decide the work beside the
  // inputs' shapes. What a graph returns lies in its memory: the next inputs of this size change it. A recording does
  // the work once for itself, before it counts: keep() is called before that, and what it returns afterwards, to put
  // back what the work changes.
  template <class Work, class Keep>
  Output operator()(const std::vector<Tensor>& inputs, const std::vector<i64>& counts, const Work& work,
                    const Keep& keep) {
    const auto found = std::find_if(sizes_.begin(), sizes_.end(), [&](const Size& size) {
      return size.precision == precision() && fits(size, inputs, counts);
    });
    if (found == sizes_.end()) {
      if (sizes_.size() == kept_) sizes_.pop_back();
      Size& size = sizes_.emplace_front(Size{.counts = counts, .precision = precision()});
      for (const Tensor& input : inputs) size.forms.emplace_back(input.shape(), input.dtype());
      return work(inputs);
    }
    sizes_.splice(sizes_.begin(), sizes_, found);  // those that came last stand first
    Size& size = *found;
    if (size.graph) {
      for (size_t i = 0; i < inputs.size(); ++i) size.inputs[i].copy_from(inputs[i]);
    } else {
      size.inputs.clear();
      for (const Tensor& input : inputs) size.inputs.push_back(input.clone());
      const auto put_back = keep();
      auto graph = std::make_unique<DeviceGraph>(inputs[0].device());
      size.output = graph->record([&] { return work(size.inputs); });
      size.graph = std::move(graph);
      put_back();
    }
    size.graph->launch();
    return size.output;
  }

 private:
  struct Size {
    std::vector<std::pair<Shape, DType>> forms = {};  // of the inputs
    std::vector<i64> counts;
    Precision precision;
    std::unique_ptr<DeviceGraph> graph = nullptr;  // null: it has come once
    std::vector<Tensor> inputs = {};
    Output output = {};
  };
  static bool fits(const Size& size, const std::vector<Tensor>& inputs, const std::vector<i64>& counts) {
    return size.counts == counts && std::ranges::equal(size.forms, inputs, [](const auto& form, const Tensor& input) {
             return form.first == input.shape() && form.second == input.dtype();
           });
  }

  size_t kept_;
  std::list<Size> sizes_;
};

}  // namespace tessera
