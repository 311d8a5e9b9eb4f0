// The inner loops of the losses, compiled per SIMD level (losses.cpp beside this file).
#pragma once

#include "ops/cpu/simd/float_tables.h"
#include "ops/scalar/losses.h"

namespace tessera::simd {

template <class T>
using LossLoop = void(const T* x, const T* t, scalar::LossNumbers<T> numbers, T* y, i64 n);
template <class T>
using LossSlopeLoop = void(const T* x, const T* t, scalar::LossNumbers<T> numbers, T scale, T* gx, i64 n);
template <class T>
using DiceSums = void(const T* x, const T* t, i64 n, double* sums);
template <class T>
using DiceSlope = void(const T* x, const T* t, scalar::DiceSlopes<T> slopes, T* gx, i64 n);
template <class T>
using LogSumExp = void(const T* x, i64 n, T* y);
template <class T>
using ScaledExp = void(const T* x, T shift, T scale, T* y, i64 n);

// Loss: its struct in ops/scalar/losses.h
template <class Loss>
inline constinit FloatTables<LossLoop> loss;
template <class Loss>
inline constinit FloatTables<LossSlopeLoop> loss_slope;  // scale d(loss)/dx
inline constinit FloatTables<DiceSums> dice_sums;        // sums of s t, s^2, t^2, with s = sigmoid(x)
inline constinit FloatTables<DiceSlope> dice_slope;      // the gradient of x
inline constinit FloatTables<LogSumExp> log_sum_exp;     // n > 0
inline constinit FloatTables<ScaledExp> scaled_exp;      // scale exp(x - shift)

}  // namespace tessera::simd
