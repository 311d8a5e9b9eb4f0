// A network's forward passes as graphs (tensor/device_graph.h), one per size of its input.
//
// A size is recorded when it comes for the second time: recording costs two passes and keeps the memory of one, which
// pictures of ever different sizes would never pay back. The kKept sizes that came last are remembered, so one that
// comes again after many others counts as new. The precision (ops/precision.h) is part of the size.
#pragma once

#include <algorithm>
#include <list>
#include <memory>

#include "ops/precision.h"
#include "tensor/device_graph.h"
#include "tensor/tensor.h"

namespace tessera {

template <class Output>
class ForwardGraphs {
 public:
  static constexpr size_t kKept = 8;

  // forward(images), the same bits. What a graph returns lies in its memory: the next images of this size change it.
  template <class Forward>
  Output operator()(const Tensor& images, const Forward& forward) {
    const auto found = std::find_if(sizes_.begin(), sizes_.end(), [&](const Size& size) {
      return size.shape == images.shape() && size.dtype == images.dtype() && size.precision == precision();
    });
    if (found == sizes_.end()) {
      if (sizes_.size() == kKept) sizes_.pop_back();
      sizes_.push_front({.shape = images.shape(), .dtype = images.dtype(), .precision = precision()});
      return forward(images);
    }
    sizes_.splice(sizes_.begin(), sizes_, found);  // those that came last stand first
    Size& size = *found;
    if (size.graph) {
      size.images.copy_from(images);
    } else {
      size.images = images.clone();
      auto graph = std::make_unique<DeviceGraph>(images.device());
      size.output = graph->record([&] { return forward(size.images); });
      size.graph = std::move(graph);
    }
    size.graph->launch();
    return size.output;
  }

 private:
  struct Size {
    Shape shape;
    DType dtype;
    Precision precision;
    std::unique_ptr<DeviceGraph> graph = nullptr;  // null: it has come once
    Tensor images = {};
    Output output = {};
  };
  std::list<Size> sizes_;
};

}  // namespace tessera
