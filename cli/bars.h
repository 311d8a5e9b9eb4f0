// Bar charts as pictures.
#pragma once

#include <vector>

#include "eval/score.h"
#include "tensor/tensor.h"

namespace tessera {

// All charts one below the other on white, u8 [H, W, 3]: each bar with its name and its value, to one scale per chart
// that begins at 0. Bars of negative values point left; values that are not finite have no bar.
Tensor draw_bars(const std::vector<BarChart>& charts);

}  // namespace tessera
