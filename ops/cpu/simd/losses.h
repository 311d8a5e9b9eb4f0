// The inner loops of the losses, compiled per SIMD level (losses.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"

namespace tessera::simd {

// What the elementwise losses need, in the precision of the loop.
template <class T>
struct LossNumbers {
  T positive = 1, negative = 1;  // focal: weights of the targets 1 and 0
  T gamma = 0;                   // focal: exponent
  T beta = 0;                    // smooth L1: where it turns linear
};

template <class T>
using LossLoop = void(const T* x, const T* t, LossNumbers<T> numbers, T* y, long n);
template <class T>
using LossSlopeLoop = void(const T* x, const T* t, LossNumbers<T> numbers, T scale, T* gx, long n);
template <class T>
using DiceSums = void(const T* x, const T* t, long n, double* sums);
template <class T>
using DiceSlope = void(const T* x, const T* t, T by_target, T by_probability, T* gx, long n);
template <class T>
using LogSumExp = void(const T* x, long n, T* y);
template <class T>
using ScaledExp = void(const T* x, T shift, T scale, T* y, long n);

inline constinit FloatTables<LossLoop> focal_loss, bce_loss, l1_loss, smooth_l1_loss;
inline constinit FloatTables<LossSlopeLoop> focal_slope, bce_slope, l1_slope, smooth_l1_slope;  // scale d(loss)/dx
inline constinit FloatTables<DiceSums> dice_sums;     // sums of s t, s^2, t^2, with s = sigmoid(x)
inline constinit FloatTables<DiceSlope> dice_slope;   // (by_target t + by_probability s) s (1 - s)
inline constinit FloatTables<LogSumExp> log_sum_exp;  // n > 0
inline constinit FloatTables<ScaledExp> scaled_exp;   // scale exp(x - shift)

}  // namespace tessera::simd
