// Files that PyTorch 1.13 and 2.15 and NumPy 1 and 2 wrote (tests/oracle/torch_files.py), value by value.
#include "tensor/weights_file.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

const std::filesystem::path kFolder = test::source_dir() / "tests/tensor/weights";

std::map<std::string, Tensor> read(const std::filesystem::path& path) {
  std::map<std::string, Tensor> tensors;
  for (const NamedTensor& entry : read_weights_file(path).state_dict()) tensors.emplace(entry.name, entry.tensor);
  return tensors;
}

double value(i64 i) {
  return static_cast<double>((3 * i + 1) % 23);
}
double signed_value(i64 i) {
  return value(i) - 11;
}
double quarter(i64 i) {
  return signed_value(i) / 4;
}
double bit(i64 i) {
  return static_cast<double>((3 * i + 1) % 23 % 2);
}

// Shape, type, and the value of every element, of which `at` tells the position in the tensor that was stored.
void check(
    const Tensor& x, const Shape& shape, DType dtype, double (*formula)(i64),
    const std::function<i64(i64)>& at = [](i64 i) { return i; }) {
  REQUIRE(x.shape() == shape);
  CHECK(x.dtype() == dtype);
  const Tensor numbers = x.to(DType::kF64);
  for (i64 i = 0; i < x.numel(); ++i) CHECK(numbers.data<double>()[i] == formula(at(i)));
}

void check_types(std::map<std::string, Tensor>& t) {
  check(t["f64"], {2, 3}, DType::kF64, quarter);
  check(t["f32"], {2, 3}, DType::kF32, quarter);
  check(t["f16"], {2, 3}, DType::kF16, quarter);
  check(t["bf16"], {2, 3}, DType::kBF16, quarter);
  check(t["i64"], {2, 3}, DType::kI64, signed_value);
  check(t["i32"], {2, 3}, DType::kI32, signed_value);
  check(t["i16"], {2, 3}, DType::kI32, signed_value);
  check(t["i8"], {2, 3}, DType::kI32, signed_value);
  check(t["u8"], {2, 3}, DType::kU8, value);
  check(t["bool"], {2, 3}, DType::kBool, bit);
}

void check_torch(std::map<std::string, Tensor> t) {
  check_types(t);
  check(t["transposed"], {4, 3}, DType::kF32, quarter, [](i64 i) { return i % 3 * 4 + i / 3; });
  check(t["slice"], {2, 3}, DType::kI32, signed_value, [](i64 i) { return (1 + i / 3) * 5 + i % 3 * 2; });
  check(t["permuted"], {2, 5, 3, 4}, DType::kF32, quarter,
        [](i64 i) { return ((i / 60 * 3 + i / 4 % 3) * 4 + i % 4) * 5 + i / 12 % 5; });
  check(t["tied.a"], {4, 2}, DType::kF32, quarter);
  check(t["tied.b"], {4, 2}, DType::kF32, quarter);
  check(t["tied.rows"], {2, 2}, DType::kF32, quarter, [](i64 i) { return i + 2; });
  check(t["expanded"], {3, 4}, DType::kF32, quarter, [](i64 i) { return i / 4; });
  check(t["scalar"], {}, DType::kF32, quarter);
  check(t["empty"], {0, 3}, DType::kF32, quarter);
  check(t["parameter"], {5}, DType::kF32, quarter);
  check(t["block.weight"], {2, 2}, DType::kF32, quarter);
  check(t["block.steps.0"], {1}, DType::kI64, signed_value);
  CHECK(t.size() == 22);  // nothing of the optimiser, no numbers
}

void check_numpy(std::map<std::string, Tensor> t) {
  check(t["stem.conv1.weight"], {2, 3, 2, 2}, DType::kF32, quarter);
  check(t["stem.conv1.norm.weight"], {300}, DType::kF32, quarter);
  check(t["half"], {4}, DType::kF16, quarter);
  check(t["double"], {2, 2}, DType::kF64, quarter);
  check(t["long"], {3}, DType::kI64, signed_value);
  check(t["byte"], {3}, DType::kU8, value);
  check(t["bool"], {5}, DType::kBool, bit);
  check(t["columns"], {2, 3}, DType::kF32, quarter);
  check(t["big"], {3}, DType::kF32, quarter);
  CHECK(t["scalar"].item() == 2.5);
  CHECK(t.size() == 10);
}

}  // namespace

TEST_CASE("weights file: files of PyTorch 1.13 and 2.15, new and old format, give every value") {
  for (const char* name : {"torch-1.13-zip.pth", "torch-1.13-old.pth", "torch-2.15-zip.pth", "torch-2.15-old.pth"}) {
    CAPTURE(name);
    check_torch(read(kFolder / name));
  }
}

TEST_CASE("weights file: of a training checkpoint all tensors are read, and which dict holds the weights") {
  const WeightsFile file = read_weights_file(kFolder / "torch-2.15-zip.pth");
  CHECK(file.weights == "model.");
  CHECK(file.dicts == std::set<std::string>{"model.", "model.block.", "model.block.steps.", "optimizer.",
                                            "optimizer.state.", "optimizer.state.0."});
  CHECK(file.tensors.size() == 23);
  CHECK(file.state_dict().size() == 22);
}

TEST_CASE("weights file: a file of a big-endian machine gives every value") {
  std::map<std::string, Tensor> tensors = read(kFolder / "torch-2.15-big.pth");
  CHECK(tensors.size() == 10);
  check_types(tensors);
}

TEST_CASE("weights file: pickled arrays of NumPy 1 and 2, protocols 2 to 5, give every value") {
  for (const char* version : {"1.13", "2.15"}) {
    for (const int protocol : {2, 3, 4, 5}) {
      CAPTURE(version);
      CAPTURE(protocol);
      check_numpy(read(kFolder / fmt::format("numpy-{}-p{}.pkl", version, protocol)));
    }
    std::map<std::string, Tensor> old = read(kFolder / fmt::format("numpy-{}-python2.pkl", version));
    check(old["conv1_w"], {2, 3, 2, 2}, DType::kF32, quarter);
    check(old["res_conv1_bn_s"], {300}, DType::kF32, quarter);
  }
}

TEST_CASE("weights file: safetensors of other tools, with types that are widened") {
  const test::TemporaryFolder folder;
  const std::string header =
      R"({"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U16","shape":[1],"data_offsets":[2,4]},)"
      R"("c":{"dtype":"BOOL","shape":[2],"data_offsets":[4,6]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  write_file(folder / "x", file + header + std::string("\xFF\x05\xFF\xFF\x02\x00", 6));
  std::map<std::string, Tensor> tensors = read(folder / "x");
  CHECK(tensors["a"].data<i32>()[0] == -1);
  CHECK(tensors["a"].data<i32>()[1] == 5);
  CHECK(tensors["b"].data<i32>()[0] == 65535);
  CHECK(tensors["c"].data<bool>()[0]);
  CHECK(!tensors["c"].data<bool>()[1]);
}

TEST_CASE("weights file: tensors that lie contiguous in the file are views of it, tied ones of the same bytes") {
  std::map<std::string, Tensor> tensors = read(kFolder / "torch-2.15-zip.pth");
  CHECK(tensors["tied.a"].raw() == tensors["tied.b"].raw());
  CHECK(tensors["tied.rows"].raw() == static_cast<const char*>(tensors["tied.a"].raw()) + 8);
}

TEST_CASE("weights file: a file cut off anywhere, or of another kind, is an error that names it") {
  const test::TemporaryFolder folder;
  for (const char* name : {"torch-2.15-zip.pth", "torch-1.13-old.pth", "numpy-2.15-p5.pkl", "numpy-1.13-python2.pkl"}) {
    const std::string whole = read_file(kFolder / name);
    for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
      CAPTURE(size);
      write_file(folder / "cut", whole.substr(0, size));
      CHECK_ERROR(read(folder / "cut"), (folder / "cut").string());
    }
  }
  write_file(folder / "x", "hello, world");
  CHECK_ERROR(read(folder / "x"), "neither safetensors nor PyTorch's zip format nor a pickle");
  write_file(folder / "x", std::string(257, '\0') + "ustar" + std::string(250, '\0'));
  CHECK_ERROR(read(folder / "x"), "save it again");
  CHECK_ERROR(read(folder / "absent"), "cannot be opened");
}
