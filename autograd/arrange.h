// Differentiable rearrangements: reshape, concat, slice, permute, gather, scatter-add, top-k; see ops/arrange.h.
#pragma once

#include <vector>

#include "autograd/var.h"

namespace tessera {

Var reshape(const Var& x, const Shape& shape);                                 // free: shares the memory
Var concat(const std::vector<Var>& parts, int dim);
Var slice(const Var& x, int dim, i64 begin, i64 end);                          // elements [begin, end) of one dimension
Var permute(const Var& x, const std::vector<int>& order);                      // y.dim(i) = x.dim(order[i]); copies
Var gather_rows(const Var& x, const Tensor& rows);                             // x [R, ...], rows i64 [K] -> [K, ...]; repeats allowed
Var scatter_add_rows(const Var& x, const Tensor& rows, i64 count);             // x [K, ...] -> y [count, ...], y[rows[k]] += x[k]

struct TopK {
  Var values;      // [..., k], descending
  Tensor indices;  // i64 [..., k]; among equal values the lowest index first
};
TopK top_k(const Var& x, i64 k);                                               // along the last dimension

}  // namespace tessera
