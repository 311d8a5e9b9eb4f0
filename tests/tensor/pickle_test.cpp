// Pickles that are not what they should be: nothing runs, and every one ends in a message.
#include "tensor/pickle.h"

#include <doctest/doctest.h>

#include <ctime>

#include "tensor/file.h"
#include "tensor/weights_file.h"
#include "tests/support/check_error.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

using namespace tessera;
using pickle::Pickle;
using Kind = pickle::Value::Kind;
using namespace std::string_literals;

namespace {

constexpr std::string_view kAllowed[] = {"collections.OrderedDict"};

std::string repeat(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

Pickle load(const std::string& bytes) {
  return Pickle(bytes, "x.pkl", kAllowed);
}

void read(const std::string& bytes) {
  const test::TemporaryFolder folder;
  write_file(folder / "x.pth", bytes);
  read_weights_file(folder / "x.pth");
}

// A NumPy array of `count` elements in 4 bytes, as protocol 2 pickles it; `shape` is the code of a tuple.
std::string array(const std::string& shape, const std::string& dtype = "f4") {
  return "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"s + "C\1b\x87R(K\1" + shape +
         "cnumpy\ndtype\nU\2" + dtype + "\x85R\x89"s + "C\4abcdtb";
}

}  // namespace

TEST_CASE("pickle: values of every kind are read") {
  const std::string bytes = "\x80\2(NK\5J\xFF\xFF\xFF\xFFM\1\2\x8A\1\xFE\x8A\0\x88G\x3F\xF8\0\0\0\0\0\0U\2ab"s +
                            "X\3\0\0\0abc]K\1a}K\1K\2s)ccollections\nOrderedDict\n)RK\7Qt."s;
  const Pickle pickle = load(bytes);
  CHECK(pickle.size() == bytes.size());
  const auto& items = pickle.root().items;
  REQUIRE(items.size() == 15);
  CHECK(items[0]->is(Kind::kNone));
  CHECK(items[1]->integer == 5);
  CHECK(items[2]->integer == -1);
  CHECK(items[3]->integer == 0x201);
  CHECK(items[4]->integer == -2);
  CHECK(items[5]->integer == 0);
  CHECK(items[6]->integer == 1);
  CHECK(items[7]->number == 1.5);
  CHECK(items[8]->text == "ab");
  CHECK(items[9]->text == "abc");
  CHECK(items[10]->items.size() == 1);
  CHECK(items[11]->items.size() == 2);
  CHECK(items[12]->is(Kind::kTuple));
  CHECK(items[13]->calls("collections.OrderedDict"));
  CHECK(items[14]->is(Kind::kPersistent));
}

TEST_CASE("pickle: a name that is not allowed is refused by that name, and nothing is executed") {
  const test::TemporaryFolder folder;
  const std::string command = "touch " + (folder / "executed").string();
  const std::string size(1, static_cast<char>(command.size()));
  for (const char* name : {"posix\nsystem", "os\nsystem", "builtins\neval", "__builtin__\nexec", "nt\nsystem"}) {
    std::string shown = name;
    shown.replace(shown.find('\n'), 1, ".");
    CHECK_ERROR(read("\x80\2c"s + name + "\nU" + size + command + "\x85R."), "asks for " + shown);
    const std::string module = shown.substr(0, shown.find('.')), function = shown.substr(shown.find('.') + 1);
    CHECK_ERROR(read("\x80\4\x8C"s + static_cast<char>(module.size()) + module + "\x8C" +
                     static_cast<char>(function.size()) + function + "\x93."),
                "asks for " + shown);
  }
  CHECK(!std::filesystem::exists(folder / "executed"));
  CHECK_ERROR(read("\x80\2c__main__\nNet\n)\x81."), "__main__.Net");
  CHECK_ERROR(read("\x80\2ctorch._utils\n_rebuild_qtensor\n."), "torch._utils._rebuild_qtensor");
  CHECK_ERROR(read("\x80\2ctorch.ComplexFloatStorage\nx\n."), "torch.ComplexFloatStorage.x");
}

TEST_CASE("pickle: damaged ones are refused") {
  CHECK_ERROR(load(""), "truncated");
  CHECK_ERROR(load("\x80\1."), "protocol 1 is not read");
  CHECK_ERROR(load("(lp0\n."), "not a pickle of protocol 2 to 5");
  CHECK_ERROR(load("\x80\2."), "nothing on the stack");
  CHECK_ERROR(load("\x80\2t."), "a mark is missing");
  CHECK_ERROR(load("\x80\2(K\1u."), "key without a value");
  CHECK_ERROR(load("\x80\2K\1(K\1K\2u."), "no container");
  CHECK_ERROR(load("\x80\2h\5."), "before it is made");
  CHECK_ERROR(load("\x80\2K\1K\2R."), "without function");
  CHECK_ERROR(load("\x80\2}}b."), "no object");
  CHECK_ERROR(load("\x80\2\x82\1."), "0x82");
  CHECK_ERROR(load("\x80\4\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFx."), "truncated");
  CHECK_ERROR(load("\x80\2X\xFF\xFF\xFF\xFFx."), "truncated");
  CHECK_ERROR(load("\x80\2ccollections"), "a name has no end");
}

TEST_CASE("pickle: circles, towers, bombs and huge claims end in a message at once") {
  const std::clock_t start = std::clock();  // the processor's time: other programs do not count
  const std::string one = array("K\1\x85");
  CHECK_ERROR(read("\x80\2]q\0(h\0"s + one + "e."), "nested deeper");          // a list that holds itself
  CHECK_ERROR(read("\x80\2}q\0(U\1ah\0U\1w"s + one + "u."), "nested deeper");  // a dict that does
  CHECK_ERROR(read("\x80\2]q\0h\0a."s), "holds no tensors");
  CHECK_ERROR(read("\x80\2" + repeat("]", 100'000) + repeat("a", 99'999) + "."), "nested deeper");
  // 10^30 values: each list holds the one before ten times
  const std::string bomb = repeat("q\0]("s + repeat("h\0"s, 10) + "e", 30) + ".";
  CHECK_ERROR(read("\x80\2]" + one + "a" + bomb), "values are not read");
  CHECK_ERROR(read("\x80\2]" + bomb), "holds no tensors");
  CHECK_ERROR(read("\x80\2" + repeat("N", 2'100'000) + "."), "values is not read");
  CHECK_ERROR(read("\x80\2N" + repeat("2", 10'100'000) + "."), "instructions is not read");
  CHECK_ERROR(read("\x80\2}U\1w"s + array("K\2\x85") + "s."), "w: [2] at element 0 reaches beyond its storage");
  CHECK_ERROR(read("\x80\2}U\1w"s + array("\x8A\5\0\0\0\0\1\x85"s) + "s."), "reaches beyond");
  CHECK_ERROR(read("\x80\2}U\1w"s + array("J\xFF\xFF\xFF\xFF\x85") + "s."), "negative");
  CHECK_ERROR(read("\x80\2}U\1w"s + array("K\1\x85", "c8") + "s."), "NumPy's type c8");
  CHECK_ERROR(read("\x80\2}U\1w"s + array("K\1\x85", "O8") + "s."), "holds no tensors");  // nor do texts
  CHECK_ERROR(read("\x80\2K\1."), "holds no tensors");
  const std::clock_t seconds = test::sanitized() ? 20 : 5;
  CHECK(std::clock() - start < seconds * CLOCKS_PER_SEC);
}
