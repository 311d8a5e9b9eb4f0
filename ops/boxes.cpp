#include "ops/boxes.h"

#include "ops/checks.h"
#include "ops/reduce.h"

namespace tessera::ops {

namespace {

void check_boxes(const char* op, const char* name, const Tensor& boxes) {
  TESSERA_CHECK(boxes.defined() && boxes.rank() == 2 && boxes.dim(1) == 4, "{}: {} must be [N, 4], got {}", op, name,
                boxes.shape());
  TESSERA_CHECK(is_compute_float(boxes.dtype()), "{}: {} has dtype {}, use f32 or f64", op, name,
                name_of(boxes.dtype()));
}

void check_two(const char* op, const Tensor& a, const Tensor& b) {
  check_boxes(op, "a", a);
  check_boxes(op, "b", b);
  TESSERA_CHECK(a.dtype() == b.dtype(), "{}: a is {}, b is {}; convert one of them", op, name_of(a.dtype()),
                name_of(b.dtype()));
}

void check_rows(const char* op, const Tensor& a, const Tensor& b) {
  check_two(op, a, b);
  TESSERA_CHECK(a.shape() == b.shape(), "{}: a {} and b {} must have the same number of boxes", op, a.shape(),
                b.shape());
}

Tensor pairwise(const KernelTable<PairwiseBoxKernel>& kernels, const Tensor& a, const Tensor& b) {
  check_two(kernels.name(), a, b);
  Tensor y = Tensor::empty({a.dim(0), b.dim(0)}, a.dtype(), a.device());
  kernels(a, b, y);
  return y;
}

Tensor loss(const KernelTable<BoxLossKernel>& kernels, const Tensor& a, const Tensor& b, double eps,
            Reduction reduction) {
  check_rows(kernels.name(), a, b);
  TESSERA_CHECK(eps >= 0, "{}: eps must not be negative, got {}", kernels.name(), eps);
  Tensor y = Tensor::empty({a.dim(0)}, a.dtype(), a.device());
  kernels(a, b, eps, y);
  if (reduction == Reduction::kNone) return y;
  if (a.dim(0) == 0) return Tensor::zeros({}, a.dtype(), a.device());
  return reduction == Reduction::kSum ? sum(y) : mean(y);
}

Tensor loss_backward(const KernelTable<BoxLossBackwardKernel>& kernels, const Tensor& gy, const Tensor& a,
                     const Tensor& b, double eps, Reduction reduction) {
  check_rows(kernels.name(), a, b);
  const Shape expected = reduction == Reduction::kNone ? Shape{a.dim(0)} : Shape{};
  TESSERA_CHECK(gy.shape() == expected && gy.dtype() == a.dtype(), "{}: gy must be {} in {}, got {} in {}",
                kernels.name(), expected, name_of(a.dtype()), gy.shape(), name_of(gy.dtype()));
  Tensor ga = empty_like(a);
  const double scale = reduction == Reduction::kMean ? 1 / static_cast<double>(std::max<i64>(a.dim(0), 1)) : 1;
  kernels(gy, a, b, eps, scale, ga);
  return ga;
}

Tensor suppress(const char* op, const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold) {
  check_boxes(op, "boxes", boxes);
  const i64 N = boxes.dim(0);
  TESSERA_CHECK(scores.defined() && scores.shape() == Shape{N} && scores.dtype() == boxes.dtype(),
                "{}: scores must be [{}] in {}, one for each box, got {} in {}", op, N, name_of(boxes.dtype()),
                scores.shape(), name_of(scores.dtype()));
  TESSERA_CHECK(threshold == threshold, "{}: the threshold is NaN", op);
  Tensor keep = Tensor::empty({N}, DType::kI64, boxes.device());
  i64 count = 0;
  nms_kernels(boxes, scores, labels, threshold, keep, count);
  return keep.rows(0, count).clone();  // not a view: the list may outlive many boxes
}

}  // namespace

Tensor box_iou(const Tensor& a, const Tensor& b) {
  return pairwise(box_iou_kernels, a, b);
}
Tensor generalized_box_iou(const Tensor& a, const Tensor& b) {
  return pairwise(generalized_box_iou_kernels, a, b);
}

Tensor paired_box_iou(const Tensor& a, const Tensor& b) {
  check_rows("paired_box_iou", a, b);
  Tensor y = Tensor::empty({a.dim(0)}, a.dtype(), a.device());
  paired_box_iou_kernels(a, b, y);
  return y;
}

Tensor generalized_box_iou_loss(const Tensor& a, const Tensor& b, double eps, Reduction reduction) {
  return loss(generalized_box_iou_loss_kernels, a, b, eps, reduction);
}
Tensor generalized_box_iou_loss_backward(const Tensor& gy, const Tensor& a, const Tensor& b, double eps,
                                         Reduction reduction) {
  return loss_backward(generalized_box_iou_loss_backward_kernels, gy, a, b, eps, reduction);
}

Tensor extended_box_iou_loss(const Tensor& a, const Tensor& b, double eps, Reduction reduction) {
  return loss(extended_box_iou_loss_kernels, a, b, eps, reduction);
}
Tensor extended_box_iou_loss_backward(const Tensor& gy, const Tensor& a, const Tensor& b, double eps,
                                      Reduction reduction) {
  return loss_backward(extended_box_iou_loss_backward_kernels, gy, a, b, eps, reduction);
}

Tensor nms(const Tensor& boxes, const Tensor& scores, double threshold) {
  return suppress("nms", boxes, scores, Tensor(), threshold);
}

Tensor batched_nms(const Tensor& boxes, const Tensor& scores, const Tensor& labels, double threshold) {
  TESSERA_CHECK(labels.defined() && labels.dtype() == DType::kI64 && labels.rank() == 1 &&
                    labels.dim(0) == boxes.shape().numel() / 4,
                "batched_nms: labels must be i64 [N], one for each box of {}, got {} {}", boxes.shape(),
                name_of(labels.dtype()), labels.shape());
  return suppress("batched_nms", boxes, scores, labels, threshold);
}

}  // namespace tessera::ops
