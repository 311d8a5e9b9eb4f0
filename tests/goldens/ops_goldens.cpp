#include "tests/goldens/ops_goldens.h"

#include <algorithm>

#include "tests/goldens/fill.h"
#include "tests/goldens/golden_case.h"
#include "tests/goldens/golden_ops.h"

namespace tessera::goldens {

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Tensor ours(const GoldenOp& op, const std::string& name, const Tensor& theirs) {
  return op.channels_second.contains(name) ? channels_last(theirs) : theirs;
}

// The stored tensor `key`; floating ones as f32.
Tensor stored(const GoldenFolder& folder, const std::string& key) {
  const Tensor tensor = folder.results[key];
  return tensor.dtype() == DType::kF64 ? tensor.to(DType::kF32) : tensor;
}

Tensor make_input(const GoldenFolder& folder, const GoldenCase& one, const std::string& name,
                  const GoldenInput& input) {
  if (input.stored) {
    const Tensor tensor = stored(folder, one.name + "/in." + name);
    TESSERA_CHECK(tensor.shape() == input.shape, "stored input '{}' is {}, ops.json says {}", name, tensor.shape(),
                  input.shape);
    return tensor;
  }
  const std::string key = folder.prefix + one.name + "/" + name;
  if (input.dtype == "int64") return integers(key, input.shape, static_cast<i64>(input.lo), static_cast<i64>(input.hi));
  return fill(key, input.shape, input.lo, input.hi);
}

// d(sum of gy y)/d(inputs), where gy is the generated gradient of each output that depends on an input.
void feed_gradients(const GoldenFolder& folder, const GoldenCase& one, const GoldenOp& op,
                    const std::vector<Var>& results) {
  std::vector<Tensor> fed;
  for (size_t k = 0; k < one.outputs.size(); ++k) {
    const std::string& name = one.outputs[k];
    const Tensor gy =
        ours(op, name, fill(folder.prefix + one.name + "/gy." + name, folder.results[one.name + "/" + name].shape()));
    fed.push_back(gy.to(results[k].value().device()));
  }
  const std::vector<Var> outputs(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(one.outputs.size()));
  const Var loss = record("fed gradients", Tensor::zeros({}), outputs, [fed](const Tensor&, Gradients& gradients) {
    for (size_t k = 0; k < fed.size(); ++k)
      if (gradients.needs(static_cast<int>(k))) gradients.add(static_cast<int>(k), fed[k]);
  });
  loss.backward();
}

// The largest error of one case in units of its tolerance, and which tensor has it.
struct Worst {
  double error = 0, excess = -1;
  std::string name;

  void see(const std::string& tensor, const Tensor& got, const Tensor& want, double tolerance) {
    TESSERA_CHECK(got.defined(), "{} is undefined", tensor);
    TESSERA_CHECK(got.shape() == want.shape(), "{} has shape {}, expected {} (in our layout)", tensor, got.shape(),
                  want.shape());
    const double error = relative_error(got, want);
    if (error / tolerance > excess) *this = {error, error / tolerance, tensor};
  }
};

void check_case(const GoldenFolder& folder, const GoldenCase& one, const GoldenOp& op, Report& report) {
  TESSERA_CHECK(folder.results.contains(one.name + "/" + one.outputs[0]), "no stored result for output '{}'",
                one.outputs[0]);
  GoldenCall call{one.attributes, {}, folder.prefix, folder.results[one.name + "/" + one.outputs[0]].shape()};
  for (const auto& [name, input] : one.inputs) {
    const Tensor tensor = ours(op, name, make_input(folder, one, name, input)).to(report.device());
    call.inputs[name] = Var(tensor, contains(one.grads, name));
  }
  const std::vector<Var> results = op.run(call);
  TESSERA_CHECK(results.size() >= one.outputs.size(), "the case has {} outputs, the operator {}", one.outputs.size(),
                results.size());
  std::string ignored;
  for (const std::string& name : one.attributes.unread()) ignored += (ignored.empty() ? "" : ", ") + name;
  TESSERA_CHECK(ignored.empty(), "attributes that {} does not know: {}", one.op, ignored);

  Worst worst;
  for (size_t k = 0; k < one.outputs.size(); ++k) {
    const std::string& name = one.outputs[k];
    worst.see(name, results[k].value(), ours(op, name, stored(folder, one.name + "/" + name)), kForwardTolerance);
  }
  if (!one.grads.empty()) feed_gradients(folder, one, op, results);
  for (const std::string& name : one.grads)
    worst.see("grad." + name, call[name].grad(), ours(op, name, stored(folder, one.name + "/grad." + name)),
              kGradientTolerance);
  worst.excess /= report.tolerance_factor;
  if (worst.excess <= 1)
    report.ok(one.name, worst.error);
  else
    report.fail(one.name, worst.error, fmt::format("{}, {:.3g} times its tolerance", worst.name, worst.excess));
}

}  // namespace

Tensor channels_last(const Tensor& theirs) {
  TESSERA_CHECK(theirs.rank() >= 2, "a tensor of shape {} has no channels at dimension 1", theirs.shape());
  const i64 N = theirs.dim(0), C = theirs.dim(1), P = theirs.shape().numel(2, theirs.rank());
  Shape shape{N};
  for (int dim = 2; dim < theirs.rank(); ++dim) shape.append(theirs.dim(dim));
  shape.append(C);
  Tensor result = Tensor::empty(shape, theirs.dtype());
  const float* in = theirs.data<float>();
  float* out = result.data<float>();
  for (i64 n = 0; n < N; ++n)
    for (i64 p = 0; p < P; ++p)
      for (i64 c = 0; c < C; ++c) out[(n * P + p) * C + c] = in[(n * C + c) * P + p];
  return result;
}

void check_ops_folder(const std::filesystem::path& folder, Report& report) {
  const GoldenFolder goldens = GoldenFolder::open(folder);
  for (const GoldenCase& one : goldens.cases) {
    if (!one.problem.empty()) {
      report.fail(one.name, one.problem);
      continue;
    }
    const GoldenOp* op = find_golden_op(one.op);
    if (!op) {
      report.missing(one.name, "operator " + one.op + " is not there yet");
      continue;
    }
    try {
      check_case(goldens, one, *op, report);
    } catch (const Error& error) {
      report.fail(one.name, error.what());
    }
  }
}

}  // namespace tessera::goldens
