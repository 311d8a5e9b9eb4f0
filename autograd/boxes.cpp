#include "autograd/boxes.h"

#include "ops/boxes.h"

namespace tessera {

Var generalized_box_iou_loss(const Var& boxes, const Tensor& targets, Reduction reduction, double eps) {
  return record("generalized_box_iou_loss", ops::generalized_box_iou_loss(boxes.value(), targets, eps, reduction),
                {boxes}, [boxes = boxes.value(), targets, reduction, eps](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::generalized_box_iou_loss_backward(gy, boxes, targets, eps, reduction));
                });
}

Var extended_box_iou_loss(const Var& boxes, const Tensor& targets, Reduction reduction, double eps) {
  return record("extended_box_iou_loss", ops::extended_box_iou_loss(boxes.value(), targets, eps, reduction), {boxes},
                [boxes = boxes.value(), targets, reduction, eps](const Tensor& gy, Gradients& gradients) {
                  gradients.add(0, ops::extended_box_iou_loss_backward(gy, boxes, targets, eps, reduction));
                });
}

}  // namespace tessera
