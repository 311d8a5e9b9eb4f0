// Initial values of weights, all drawn from the one counter-based generator. The fans of a weight are
// fan_in = product of all dimensions but the first, fan_out = first dimension times the kernel's area.
#pragma once

#include "autograd/var.h"
#include "tensor/random.h"

namespace tessera::nn {

enum class Fan { kIn, kOut };

void init_uniform(Var& weight, double bound, Random& random);  // in [-bound, bound)
void init_normal(Var& weight, double std, Random& random);
void init_constant(Var& weight, double value);

// He et al. 2015. uniform: bound gain sqrt(3 / fan); normal: std gain / sqrt(fan). gain sqrt(2) is for ReLU.
void init_kaiming_uniform(Var& weight, Fan fan, double gain, Random& random);
void init_kaiming_normal(Var& weight, Fan fan, double gain, Random& random);

// Glorot and Bengio 2010: bound gain sqrt(6 / (fan_in + fan_out)).
void init_xavier_uniform(Var& weight, double gain, Random& random);

// Caffe2's names for what detectron2 uses; the bias, if there is one, becomes 0.
void init_c2_msra(Var& weight, Var& bias, Random& random);    // normal, std sqrt(2 / fan_out)
void init_c2_xavier(Var& weight, Var& bias, Random& random);  // uniform, bound sqrt(3 / fan_in)

// The bias with which sigmoid(bias) = probability: -log((1 - p) / p). Lin et al. 2017, section 4.1.
double prior_bias(double probability);

}  // namespace tessera::nn
