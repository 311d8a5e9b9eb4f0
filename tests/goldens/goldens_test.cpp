#include <doctest/doctest.h>

#include <fstream>

#include "tests/goldens/fill.h"
#include "tests/goldens/network_goldens.h"
#include "tests/goldens/ops_goldens.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace tessera::goldens {

namespace {

using test::TemporaryFolder;

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

// An entry of ops.json for relu on a [2, 3] input; `more` goes into the attributes.
std::string relu_entry(const std::string& name, const std::string& more = "", const std::string& op = "relu") {
  return R"({"case": ")" + name + R"(", "op": ")" + op + R"(", "attrs": {)" + more +
         R"(}, "inputs": {"x": {"shape": [2, 3], "lo": -1, "hi": 1, "dtype": "float32"}}, "outputs": ["y"], "grads": ["x"]})";
}

// max(x, 0) of the generated input and its gradient, as an oracle would store them; `shift` makes the result wrong.
void add_relu_results(std::vector<NamedTensor>& results, const std::string& prefix, const std::string& name,
                      float shift) {
  Tensor y = fill(prefix + name + "/x", {2, 3}), gx = fill(prefix + name + "/gy.y", {2, 3});
  for (i64 i = 0; i < y.numel(); ++i) {
    if (y.data<float>()[i] <= 0) y.data<float>()[i] = gx.data<float>()[i] = 0;
    y.data<float>()[i] += shift;
  }
  results.push_back({name + "/y", y});
  results.push_back({name + "/grad.x", gx});
}

std::string last_line(const Report& report) {
  return report.lines().empty() ? "" : report.lines().back();
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("goldens: operators and their gradients agree with PyTorch's stored results") {
  Report report(Device{}, false);
  check_ops_folder(test::source_dir() / "tests/goldens/ops", report);  // made by tests/oracle/ops_oracle.py
  for (const std::string& line : report.lines()) CHECK_MESSAGE(!line.starts_with("FAIL"), line);
  CHECK(report.failed() == 0);
  CHECK(report.passed() >= 47);
}

TEST_CASE("goldens: the generator gives the published values") {
  CHECK(fnv1a64("backbone.stem.conv1.weight") == 0x9dd795f1cb42e762);
  CHECK(fnv1a64("") == 0xcbf29ce484222325);
  const double bound = 1.5 * std::sqrt(3.0 / 147);  // gain / sqrt(fan_in / 3): the network goldens' weights
  const u64 hash = fnv1a64("backbone.stem.conv1.weight");
  CHECK(bound * (2 * uniform01(hash, 0) - 1) == doctest::Approx(0.114686377).epsilon(1e-7));
  CHECK(bound * (2 * uniform01(hash, 1) - 1) == doctest::Approx(-0.109264687).epsilon(1e-7));
  CHECK(bound * (2 * uniform01(hash, 2) - 1) == doctest::Approx(-0.174506888).epsilon(1e-7));
  const Tensor k = integers("any", {1000}, -2, 3);
  i64 low = 0, high = 0;
  for (const i64 value : k.span<i64>()) low = std::min(low, value), high = std::max(high, value);
  CHECK(low == -2);
  CHECK(high == 2);
}

TEST_CASE("goldens: maps and weights of channels-first tools get their channels last") {
  const Tensor x = Tensor::from(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {1, 2, 3, 2});
  const Tensor y = channels_last(x);
  CHECK(y.shape() == Shape{1, 3, 2, 2});
  const std::vector<float> expected{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11};
  CHECK(std::equal(expected.begin(), expected.end(), y.data<float>()));
  CHECK_ERROR(channels_last(Tensor::zeros({3})), "no channels");
}

TEST_CASE("goldens: right results pass, wrong ones fail, unknown operators are missing, ignored attributes fail") {
  const TemporaryFolder folder;
  std::vector<NamedTensor> results;
  add_relu_results(results, "p/", "right", 0);
  add_relu_results(results, "p/", "wrong", 0.01F);
  add_relu_results(results, "p/", "attribute", 0);
  save_safetensors(folder / "ops.safetensors", results);
  write(folder / "ops.json", R"({"prefix": "p/", "cases": [)" + relu_entry("right") + "," + relu_entry("wrong") + "," +
                                 relu_entry("attribute", R"("slope": 0.1)") + "," +
                                 relu_entry("unknown", "", "no_such_operator") + "," + relu_entry("absent") +
                                 R"(, {"case": "entry", "op": "relu"}, 7]})");
  Report report({}, false);
  check_ops_folder(folder.path(), report);
  REQUIRE(report.lines().size() == 7);
  CHECK(contains(report.lines()[0], "ok       right"));
  CHECK(contains(report.lines()[1], "FAIL     wrong"));
  CHECK(contains(report.lines()[2], "attributes that relu does not know: slope"));
  CHECK(contains(report.lines()[3], "missing  unknown"));
  CHECK(contains(report.lines()[4], "no stored result for output 'y'"));
  CHECK(contains(report.lines()[5], "FAIL     entry  'attrs' is missing"));
  CHECK(contains(report.lines()[6], "FAIL     case 6  the entry is not an object"));
  CHECK(report.passed() == 1);
  CHECK(report.failed() == 5);
  CHECK(report.missing() == 1);
}

TEST_CASE("goldens: a malformed folder is refused with the file's name") {
  const TemporaryFolder folder;
  Report report({}, false);
  CHECK_ERROR(check_ops_folder(folder / "nowhere", report), "ops.json");
  CHECK_ERROR(check_ops_folder(folder.path(), report), "ops.json");
  for (const char* text : {"", "{", "[1, 2]", "{\"prefix\": 1, \"cases\": []}", "{\"prefix\": \"\"}",
                           "{\"prefix\": \"\", \"cases\": {}}", "{\"prefix\": \"\", \"cases\": []}"}) {
    INFO("text: ", text);
    write(folder / "ops.json", text);
    CHECK_ERROR(check_ops_folder(folder.path(), report), "ops.json");
  }
  write(folder / "ops.json", R"({"prefix": "", "cases": [)" + relu_entry("right") + "]}");
  CHECK_ERROR(check_ops_folder(folder.path(), report), "ops.safetensors");
  write(folder / "ops.safetensors", "not a tensor file");
  CHECK_ERROR(check_ops_folder(folder.path(), report), "ops.safetensors");
  CHECK(report.lines().empty());
}

TEST_CASE("goldens: absurd shapes and kinds of inputs fail their case only") {
  const TemporaryFolder folder;
  save_safetensors(folder / "ops.safetensors", {{"x", Tensor::zeros({1})}});
  for (const std::string& shape : std::vector<std::string>{"[-1]", "[4611686018427387904, 4]", "[1000000, 1000000]",
                                                           "[1.5]", "3", "[1,1,1,1,1,1,1,1,1]"}) {
    INFO("shape: ", shape);
    write(folder / "ops.json",
          R"({"prefix": "", "cases": [{"case": "c", "op": "relu", "attrs": {}, "inputs": {"x": {"shape": )" + shape +
              R"(, "lo": 0, "hi": 1, "dtype": "float32"}}, "outputs": ["y"], "grads": []}]})");
    Report report({}, false);
    check_ops_folder(folder.path(), report);
    CHECK(report.failed() == 1);
    CHECK(contains(last_line(report), "FAIL     c  "));
  }
}

TEST_CASE("goldens: NaN and other shapes count as infinitely wrong") {
  const Tensor want = Tensor::from(std::vector<float>{1, -4}), nan = Tensor::from(std::vector<float>{1, NAN});
  CHECK(relative_error(Tensor::from(std::vector<float>{1, -3}), want) == doctest::Approx(0.25));
  CHECK(relative_error(nan, want) == INFINITY);
  CHECK(relative_error(want, nan) == INFINITY);
  CHECK(relative_error(nan, nan) == 0);
  CHECK(relative_error(Tensor::zeros({3}), want) == INFINITY);
  CHECK(relative_error(Tensor(), want) == INFINITY);
  Report report({}, false);
  report.check("nan", NAN, 1);
  CHECK(report.failed() == 1);
}

TEST_CASE("goldens: a network that nobody recognises is missing, a broken file an error") {
  const TemporaryFolder folder;
  save_safetensors(folder / "other.safetensors", {{"x", Tensor::zeros({1})}});
  Report report({}, false);
  CHECK(check_network(folder / "other.safetensors", report) == 1);
  CHECK(report.missing() == 1);
  write(folder / "broken.safetensors", "xx");
  CHECK_ERROR(check_network(folder / "broken.safetensors", report), "broken.safetensors");
}

}  // namespace tessera::goldens
