#include "tensor/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tensor/file.h"
#include "tests/support/check_error.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;

namespace {

std::string with_header(const std::string& header, size_t data_bytes) {
  const u64 size = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &size, 8);
  return file + header + std::string(data_bytes, '\1');
}

}  // namespace

TEST_CASE("safetensors: every dtype, an empty tensor and the metadata survive a round trip") {
  const test::TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  const Tensor values = Tensor::from<float>({0, 1, -2, 3, 100, 5}, {2, 3});
  for (DType dtype :
       {DType::kU8, DType::kF32, DType::kF64, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kBool})
    tensors.push_back({std::string("x.") + name_of(dtype), values.to(dtype)});
  tensors.push_back({"empty", Tensor::zeros({0, 4})});
  tensors.push_back({"scalar \"quoted\" \xC3\xA9", Tensor::full({}, 3)});
  save_safetensors(folder / "a.safetensors", tensors, {{"step", "17"}});

  const SafeTensors file = SafeTensors::open(folder / "a.safetensors");
  CHECK(file.metadata().at("step") == "17");
  CHECK(file.tensors().size() == tensors.size());
  for (const NamedTensor& entry : tensors) {
    const Tensor& loaded = file[entry.name];
    CHECK(loaded.dtype() == entry.tensor.dtype());
    CHECK(loaded.shape() == entry.tensor.shape());
    CHECK(std::memcmp(loaded.raw(), entry.tensor.raw(), loaded.bytes()) == 0);
  }
  CHECK_ERROR(file["absent"], "no tensor named absent");
}

TEST_CASE("safetensors: damaged headers are refused with the file's name and the reason") {
  const test::TemporaryFolder folder;
  const auto open = [&](const std::string& content) {
    write_file(folder / "bad.safetensors", content);
    return SafeTensors::open(folder / "bad.safetensors");
  };
  CHECK_ERROR(SafeTensors::open(folder / "absent"), "cannot be opened");
  CHECK_ERROR(open(""), "bad.safetensors");
  CHECK_ERROR(open("short"), "at least 8");
  CHECK_ERROR(open(std::string(8, '\xFF')), "claims");
  CHECK_ERROR(open(with_header("{nonsense", 0)), "damaged");
  CHECK_ERROR(open(with_header("[]", 0)), "damaged");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7)),
              "damaged or truncated");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8)),
              "damaged or truncated");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8)), "F99");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", 8)),
              "2^63");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8)), "damaged");
  CHECK_ERROR(open(with_header(R"({"x":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4)),
              "at most 8");
}

TEST_CASE("safetensors: tensors that lie unaligned in the file still load") {
  const test::TemporaryFolder folder;
  write_file(
      folder / "odd.safetensors",
      with_header(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
          5));
  CHECK(SafeTensors::open(folder / "odd.safetensors")["b"].data<float>()[0] != 0);
}

TEST_CASE("safetensors: a write that fails leaves the previous file whole") {
  const test::TemporaryFolder folder;
  const std::vector<NamedTensor> good = {{"x", Tensor::full({4}, 1)}};
  save_safetensors(folder / "a.safetensors", good);
  CHECK_ERROR(save_safetensors(folder / "a.safetensors", {{"x", Tensor::full({4}, 2)}, {"x", Tensor::full({4}, 2)}}),
              "twice");
  CHECK(SafeTensors::open(folder / "a.safetensors")["x"].data<float>()[0] == 1);
  CHECK_ERROR(save_safetensors("/dev/full/a.safetensors", good), "cannot be written");
}
