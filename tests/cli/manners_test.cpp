// How the program speaks: help, version, what is near to a mistyped name, terminals of any width.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/text.h"
#include "tests/cli/program.h"

namespace tessera {

using namespace test;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

size_t widest(const std::string& text) {
  size_t width = 0;
  for (const std::string& line : lines_of(text)) width = std::max(width, line.size());
  return width;
}

// Of a command that has nothing to complain of.
std::string prints(const Arguments& arguments) {
  const Outcome outcome = run(arguments);
  INFO(outcome.err);
  CHECK(outcome.code == 0);
  CHECK(outcome.err.empty());
  return outcome.out;
}

// COLUMNS as the program finds it, for one test.
struct Columns {
  explicit Columns(const char* value) { setenv("COLUMNS", value, 1); }
  ~Columns() { unsetenv("COLUMNS"); }
};

// What the program writes to a terminal of so many columns, with \r\n as \n.
std::string on_terminal(const Arguments& arguments, unsigned short columns) {
  const int ours = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(ours >= 0);
  REQUIRE(grantpt(ours) == 0);
  REQUIRE(unlockpt(ours) == 0);
  const int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY);
  REQUIRE(theirs >= 0);
  const winsize window{.ws_row = 40, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(ioctl(ours, TIOCSWINSZ, &window) == 0);
  Arguments all = arguments;
  all.insert(all.begin(), (binary_dir() / "tessera").string());
  std::vector<char*> pointers;
  for (std::string& argument : all) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs, STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ours);
  pid_t id = 0;
  REQUIRE(posix_spawn(&id, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(theirs);
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(ours, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(count));
  close(ours);
  int status = 0;
  waitpid(id, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  std::erase(text, '\r');
  return text;
}

}  // namespace

TEST_CASE("program: alone and with help it prints its help, and help COMMAND that of the command") {
  const std::string help = prints({});
  CHECK(help.find("Usage: tessera") != std::string::npos);
  CHECK(prints({"help"}) == help);
  CHECK(prints({"--help"}) == help);
  CHECK(prints({"help", "train"}) == prints({"train", "--help"}));
  CHECK(prints({"help", "data", "shapes"}) == prints({"data", "shapes", "--help"}));
  check_fails({"help", "trian"}, 2, "unknown command trian; did you mean train?");
  check_fails({"help", "train", "fast"}, 2, "tessera train has no commands");
}

TEST_CASE("program: --version tells version, build and devices") {
  const std::string version = prints({"--version"});
  for (const char* part : {"tessera 0.", "build ", "SIMD level ", "CUDA", "devices ", "cpu "})
    CHECK_MESSAGE(version.find(part) != std::string::npos, part);
}

TEST_CASE("program: an unknown command, option, configuration, operator or device names the nearest") {
  check_fails({"trian"}, 2, "unknown command trian; did you mean train?");
  check_fails({"trian", "a.toml", "--dry-run"}, 2, "unknown command trian; did you mean train?");
  check_fails({"data", "shaps"}, 2, "unknown command shaps; did you mean shapes?");
  check_fails({"train", "a.toml", "--dryrun"}, 2, "unknown option --dryrun; did you mean --dry-run?");
  check_fails({"train", "--dryrun"}, 2, "unknown option --dryrun; did you mean --dry-run?");
  check_fails({"train", "a.toml", "--divice=cpu"}, 2, "unknown option --divice; did you mean --device?");
  check_fails({"--verson"}, 2, "unknown option --verson; did you mean --version?");
  check_fails({"info", "extra"}, 2, "unexpected argument extra");
  check_fails({"train", "r50"}, 1, "r50: no such file or configuration; these begin so: fqdet/r50_defenc_p3, ");
  check_fails({"train", "r50_gaim"}, 1, "did you mean sparseinst/r50_giam?");
  check_fails({"info", "--ops", "sofmax"}, 1, "unknown operator sofmax; did you mean softmax?");
  const Outcome cases = run({"list", "--op", "sofmax"}, "tessera_ops");
  CHECK(cases.code == 1);
  CHECK(cases.err == "tessera_ops: unknown operator sofmax; did you mean softmax?\n");
  check_fails(workshop().train("x", {"--device", "cdua"}), 1, "device cdua: unknown; did you mean cuda?");
}

TEST_CASE("program: a configuration's short name works wherever one is taken, and as a base") {
  const TemporaryFolder folder;
  const fs::path file = folder / "mine.toml";
  write_file(file, "base = \"r50_giam\"\n[model]\nnum_masks = 7\nbackbone.kind = \"tiny\"\n");
  const std::string mine = prints({"train", file.string(), "--dry-run"});
  CHECK(mine.find("num_masks = 7\n") != std::string::npos);
  CHECK(mine.find("shortest = 608\n") != std::string::npos);
  const Arguments small{"--set", "model.backbone.kind=tiny"};
  Arguments dry{"train", "r50_giam", "--dry-run"};
  dry.insert(dry.end(), small.begin(), small.end());
  CHECK(prints(dry).find("shortest = 608\n") != std::string::npos);
  for (const Arguments& command :
       {Arguments{"eval", "--checkpoint", "absent.pth"}, {"convert", "absent.pth", "x.safetensors"}}) {
    Arguments arguments = command;
    arguments.insert(arguments.end(), {"--config", "r50_giam"});
    check_fails(arguments, 1, "absent.pth");
  }
}

TEST_CASE("program: --dry-run without data prints every option and the parameters, and says which data is missing") {
  const Workshop& w = workshop();
  for (const auto& [annotations, said] :
       {std::pair{"", "data.train_annotations is not set"}, {"absent.json", "does not exist: absent.json"}}) {
    const std::string text =
        prints(w.train("dry", {"--dry-run", "--set", "data.train_annotations=" + std::string(annotations)}));
    for (const std::string& part : {std::string("num_masks = 8\n"), std::string("parameters: "), std::string(said)})
      CHECK_MESSAGE(text.find(part) != std::string::npos, part);
    CHECK(!fs::exists(w.folder / "dry"));
  }
}

TEST_CASE("program: --help-options lists every option, and docs/options.md is what it prints as markdown") {
  const std::string text = prints({"train", "--help-options"});
  for (const char* part : {"[model.backbone] of sparseinst", "[model.head] of effseg", "[optimizer]",
                           "lr = 5e-05  (a number, at least 0)", "width = 1.0", "freeze_at = 0"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part);
  CHECK_MESSAGE(prints({"train", "--help-options=markdown"}) == read_file(source_dir() / "docs" / "options.md"),
                "docs/options.md is old: tessera train --help-options=markdown > docs/options.md");
  check_fails({"train", "--help-options=pdf"}, 2, "text or markdown");
}

TEST_CASE("text: lines are broken at spaces and indented, a word is never broken") {
  CHECK(wrapped("one two three", 20, 2) == "one two three");
  CHECK(wrapped("one two three", 8, 2) == "one two\n  three");
  CHECK(wrapped("one two three", 7, 2) == "one two\n  three");
  CHECK(wrapped("  --name   what it does", 15, 11) == "  --name   what\n           it\n           does");
  CHECK(wrapped("extraordinary word", 5, 2) == "extraordinary\n  word");
  CHECK(wrapped("trailing   ", 8, 2) == "trailing\n  ");
  CHECK(wrapped("", 8, 2) == "");
}

TEST_CASE("program: help is as wide as the terminal, else as COLUMNS says, else 100") {
  for (const Arguments& command :
       {Arguments{}, {"train", "--help"}, {"score", "--help"}, {"train", "--help-options"}}) {
    const std::string usual = prints(command);
    CHECK(widest(usual) <= 100);
    CHECK(widest(usual) > 80);
    const Columns columns("60");
    CHECK(widest(prints(command)) <= 60);
    const size_t width = widest(on_terminal(command, 72));
    CHECK(width <= 72);
    CHECK(width > 60);  // the terminal comes before COLUMNS
  }
}

TEST_CASE("program: a terminal shows the loss terms while training, as the piped log does") {
  const Workshop& w = workshop();
  const std::string text =
      on_terminal(w.train("terminal", {"--set", "training.steps=3", "--set", "training.log_every=2", "--set",
                                       "data.val_images=", "--set", "data.val_annotations="}),
                  120);
  const nlohmann::json step = nlohmann::json::parse(w.log("terminal").at(1));
  REQUIRE(step["losses"].size() >= 3);
  for (const auto& [name, value] : step["losses"].items()) {
    CHECK_MESSAGE(text.find(" " + name) != std::string::npos, name);
    CHECK_MESSAGE(text.find(fmt::format(" {:.5f}", value.get<double>())) != std::string::npos, name);
  }
}

TEST_CASE("program: info's table is aligned, names are whole, and memory without a limit is called so") {
  const std::vector<std::string> table = lines_of(prints({"info", "--ops"}));
  REQUIRE(table.size() > 50);
  const size_t column = table[0].find("cpu");
  for (const std::string& line : table) {
    CAPTURE(line);
    REQUIRE(line.size() > column);
    CHECK(line[column - 1] == ' ');
    CHECK(line[column] != ' ');
  }
  const std::vector<std::string> two = lines_of(prints({"info", "--ops", "softmax", "add"}));
  REQUIRE(two.size() == 3);
  CHECK(two[1].starts_with("softmax "));
  CHECK(two[2].starts_with("add "));

  const std::string machine = prints({"info"});
  for (const std::string& line : lines_of(machine)) {
    const size_t unit = line.find(" GiB");
    if (unit == std::string::npos) continue;
    const size_t begin = line.rfind(' ', unit - 1) + 1;
    CHECK_MESSAGE(std::stod(line.substr(begin, unit - begin)) < 1e6, line);
  }
  if (machine.find("cuda-emulated") != std::string::npos)
    CHECK(machine.find("cuda-emulated memory not limited") != std::string::npos);
}

}  // namespace tessera
