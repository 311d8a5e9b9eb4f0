#include "autograd/roi_align.h"

namespace tessera {

Var roi_align(const Var& x, const Var& rois, const ops::RoiAlignParams& params) {
  return record("roi_align", ops::roi_align(x.value(), rois.value(), params), {x, rois},
                [params, rois = rois.value(), shape = x.shape()](const Tensor& gy, Gradients& gradients) {
                  TESSERA_CHECK(!gradients.needs(1), "roi_align: has no derivative of the rois; detach() them");
                  gradients.add(0, ops::roi_align_backward(gy, rois, shape, params));
                });
}

}  // namespace tessera
