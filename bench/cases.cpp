// All cases: one function per family, each in a file of its own.
#include "bench/bench.h"
#include "tensor/random.h"

namespace tessera::bench {

namespace {
constinit Device chosen_device;
}

Device device() {
  return chosen_device;
}

void use_device(Device device) {
  chosen_device = device;
}

void product_cases(Cases& cases);
void convolution_cases(Cases& cases);
void sampling_cases(Cases& cases);
void sps_cases(Cases& cases);
void matching_cases(Cases& cases);
void model_cases(Cases& cases);
void effseg_cases(Cases& cases);
void fassst_cases(Cases& cases);

Cases all_cases() {
  Cases cases;
  product_cases(cases);
  convolution_cases(cases);
  sampling_cases(cases);
  sps_cases(cases);
  matching_cases(cases);
  model_cases(cases);
  effseg_cases(cases);
  fassst_cases(cases);
  return cases;
}

Tensor random_tensor(const Shape& shape, double low, double high) {
  return random_host_tensor(shape, low, high).to(device());
}

Tensor random_host_tensor(const Shape& shape, double low, double high) {
  Tensor tensor = Tensor::empty(shape);
  Random(1).fill_uniform(tensor, low, high);
  return tensor;
}

}  // namespace tessera::bench
