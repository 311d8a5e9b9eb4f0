// The assignment problem by Crouse's algorithm as published, one number after the other.
#pragma once

#include <cmath>
#include <numeric>
#include <vector>

#include "tensor/tensor.h"

namespace tessera::test {

// The columns of rows 0, 1, ...; cost [R, C] in f64, R <= C.
inline std::vector<i64> naive_assignment(const Tensor& cost) {
  const i64 R = cost.dim(0), C = cost.dim(1);
  std::vector<double> row_price(R), column_price(C);
  std::vector<i64> row_of(C, -1), column_of(R, -1), previous(C);
  for (i64 root = 0; root < R; ++root) {
    std::vector<double> distance(C, INFINITY);
    std::vector<bool> row_seen(R), column_seen(C);
    std::vector<i64> unseen(C);
    std::iota(unseen.rbegin(), unseen.rend(), 0);
    double reached = 0;
    i64 sink = -1;
    for (i64 row = root; sink < 0;) {
      row_seen[row] = true;
      double nearest = INFINITY;
      size_t position = 0;
      for (size_t k = 0; k < unseen.size(); ++k) {
        const i64 c = unseen[k];
        const double length = reached + cost.data<double>()[row * C + c] - row_price[row] - column_price[c];
        if (length < distance[c]) distance[c] = length, previous[c] = row;
        if (distance[c] < nearest || (distance[c] == nearest && row_of[c] < 0)) nearest = distance[c], position = k;
      }
      reached = nearest;
      const i64 column = unseen[position];
      column_seen[column] = true;
      if (row_of[column] < 0) sink = column;
      row = row_of[column];
      unseen[position] = unseen.back();
      unseen.pop_back();
    }
    row_price[root] += reached;
    for (i64 r = 0; r < R; ++r)
      if (row_seen[r] && r != root) row_price[r] += reached - distance[column_of[r]];
    for (i64 c = 0; c < C; ++c)
      if (column_seen[c]) column_price[c] -= reached - distance[c];
    for (i64 column = sink, row = -1; row != root;) {
      row = previous[column];
      row_of[column] = row;
      std::swap(column_of[row], column);
    }
  }
  return column_of;
}

}  // namespace tessera::test
