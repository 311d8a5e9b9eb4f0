// What golden files of modules have in common (fqdet_*, effseg_*, base_*): parameters, inputs and upstream gradients
// are generated from the metadata's prefix and their names, results and gradients are stored, perhaps only
// flat[::stride] of them (metadata <key>.stride, the true shape in <key>.shape).
//
//   class FpnGolden : ModuleGolden {
//    public:
//     using ModuleGolden::ModuleGolden;
//     int run() {
//       Fpn fpn(number("channels"), ...);              // sizes from the metadata
//       generate(fpn);                                 // parameters and buffers; onto the report's device
//       const Var x = map("c.5", {2, 40, 3, 4});       // shapes in PyTorch's order
//       const Var y = fpn(x);                          // [N, h, w, C]
//       compare_map("y", y.value());
//       upstream(y, "dy").backward();                  // sum(y dy)
//       compare_map_gradient("grad.c.5", x);
//       compare_gradients(fpn);                        // grad.<name> of every trained parameter
//       return finish();                               // fails for each stored tensor that nothing above compared
//     }
//   };
//   const bool kAdded = add_network({"FPN", recognises, check_with<FpnGolden>});
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "nn/module.h"
#include "tests/goldens/network_goldens.h"

namespace tessera::goldens {

// A parameter or buffer as the oracles generate it, in PyTorch's layout. u uniform in [0, 1), by the full name:
//   weight, embedding     (2u - 1) sqrt(6 / fan_in); layers that predict offsets (2u - 1) 0.3 sqrt(3 / fan_in);
//                         fan_in = all dimensions but the first, of a transposed convolution the first alone
//   bias                  (2u - 1) 0.05; of MSDA's sampling_offsets (2u - 1) 2; of a deformable convolution's
//                         conv_offsets the 3x3 grid (x, y) + (2u - 1) 0.4
//   a norm's              weight and running_var 0.75 + 0.5u, bias and running_mean (2u - 1) 0.1
//   level_embed           (2u - 1)
struct GoldenParameter {
  std::string name;  // full
  Shape shape;       // PyTorch's
  nn::Layout layout = nn::Layout::kSame;
  bool of_norm = false;
};
Tensor generate(const GoldenParameter& parameter);

class ModuleGolden {
 public:
  // Relative to the largest stored value: what f32 reaches behind many layers.
  struct Tolerances {
    double forward = 2e-4, gradient = 1e-3;
    bool gradient_l2 = false;  // gradients by the L2 norm of the difference relative to that of the stored one
  };
  ModuleGolden(const SafeTensors& file, Report& report) : ModuleGolden(file, report, Tolerances{}) {}
  ModuleGolden(const SafeTensors& file, Report& report, const Tolerances& tolerances)
      : tolerances(tolerances), file_(file), report_(report) {}

 protected:
  // Metadata; absent ones are errors that name the file.
  bool has(const std::string& key) const { return file_.metadata().contains(key); }
  const std::string& text(const std::string& key) const;
  i64 number(const std::string& key) const;
  double real(const std::string& key) const;
  bool flag(const std::string& key) const;                 // "True" or "False"
  std::vector<i64> numbers(const std::string& key) const;  // those in "[16,24]" or "((198, 131), (151, 120))"
  std::string prefix() const { return text("prefix"); }
  Device device() const { return report_.device(); }

  // From a module's name of a parameter to the oracle's.
  using Naming = std::function<std::string(const std::string&)>;
  static Naming without(const std::string& start);  // for an oracle that knows the module by itself
  // Fills all that the module holds and moves it to device(). prefix: of the parameters, where it is not prefix().
  void generate(nn::Module& module, const Naming& naming = nullptr, const std::string& prefix = "");

  // Uniform in [lo, hi), named prefix() + name, on device(). A map's shape is [N, C, H, W] and the result channels
  // last.
  Var input(const std::string& name, const Shape& shape, double lo = -1, double hi = 1,
            bool requires_grad = true) const;
  Var map(const std::string& name, const Shape& shape, bool requires_grad = true) const;
  // sum(y dy) with dy generated as `name`, scalar. y of rank 4 is a map.
  Var upstream(const Var& y, const std::string& name) const;

  const Tensor& stored(const std::string& key);  // counts as compared
  bool stores(const std::string& key) const { return file_.contains(key); }

  // Each reports one case. Values in PyTorch's layout, but for maps [N, h, w, C].
  void compare(const std::string& key, const Tensor& got, double tolerance);
  void compare(const std::string& key, const Tensor& got) { compare(key, got, tolerances.forward); }
  void compare_map(const std::string& key, const Tensor& got);
  void compare_ids(const std::string& key, const Tensor& got);  // i64, exactly
  // No gradient at all counts as zeros. An exact 0 is stored as f64's rounding: what is below kZero of the largest
  // gradient in the file must be small beside that one.
  void compare_gradient(const std::string& key, const Var& x) { compare_gradient(key, x, nn::Layout::kSame); }
  void compare_map_gradient(const std::string& key, const Var& x) { compare_gradient(key, x, nn::Layout::kConvOIHW); }
  void compare_gradient(const std::string& key, const Var& x, nn::Layout layout);
  void compare_gradients(nn::Module& module, const Naming& naming = nullptr, const std::string& before = "grad.");
  void report(const std::string& key, bool right, const std::string& note = "");  // a check of another kind

  // The elements of `got` that are stored under `key`; undefined where the shapes differ, which it reports.
  Tensor as_stored(const std::string& key, const Tensor& got);

  int finish();  // the number of cases

  Tolerances tolerances;

 private:
  double largest_gradient();
  std::string title(const std::string& key) const { return file_.path().stem().string() + "/" + key; }

  const SafeTensors& file_;
  Report& report_;
  std::set<std::string> compared_;
  double largest_gradient_ = 0;
  int cases_ = 0;
};

// A ReLU whose input lies within f32's rounding of 0 may let a gradient through that f64's does not, and one such cell
// of a small network moves gradients by more than any tolerance. So where gradients alone disagree the network is tried
// again, with parameters that generate() moves by a few units in the last place, each time by others: each gradient of
// the right network agrees in one of few tries, of a wrong one in none. The first try is reported where none agrees.
int check_tries(Report& report, const std::function<int(Report&)>& check);

// The note of a case that a further try may pass.
inline constexpr const char* kGradientDiffers = "the gradient differs";

// Each value times 1 + 2^-22 (2u - 1): two units in the last place, since deep networks amplify them. Attempt 0: as it
// is.
void move_slightly(Tensor& value, const std::string& name, int attempt);

template <class Golden>
int check_with(const SafeTensors& file, Report& report) {
  return check_tries(report, [&](Report& attempt) { return Golden(file, attempt).run(); });
}

}  // namespace tessera::goldens
