// The inner loops of the micro-kernels, as compiled: sums live in registers. A compiler that runs out of them, or does
// not unroll a loop over an array of sums, keeps the array in memory, and the loop takes two to three times as long.
// Nothing but the disassembly shows it.
#include <doctest/doctest.h>
#include <stdio.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace tessera::test {
namespace {

// The kernels of matrix products, at every level but the baseline; the plain twin of the tile unit may use the stack.
const std::vector<std::string> kKernels = {"gemm_", "bf16_tiles_3"};

struct Instruction {
  unsigned long address;
  std::string name, operands;
};

// The functions of an object file, instruction by instruction.
std::vector<std::vector<Instruction>> disassemble(const std::filesystem::path& object) {
  std::vector<std::vector<Instruction>> functions;
  FILE* pipe = popen(("objdump -d --no-show-raw-insn '" + object.string() + "' 2>/dev/null").c_str(), "r");
  if (!pipe) return functions;
  char line[4096];
  while (fgets(line, sizeof line, pipe)) {
    unsigned long address = 0;
    char name[64] = "", operands[512] = "";
    if (std::string(line).find(">:") != std::string::npos) {
      functions.emplace_back();
    } else if (!functions.empty() && sscanf(line, " %lx: %63s %511[^\n]", &address, name, operands) >= 2) {
      functions.back().push_back({address, name, operands});
    }
  }
  pclose(pipe);
  return functions;
}

struct Loop {
  size_t first, last;  // instructions
};

// Jumps back to an instruction of the same function, without another such jump between.
std::vector<Loop> innermost_loops(const std::vector<Instruction>& function) {
  std::vector<Loop> loops;
  for (size_t i = 0; i < function.size(); ++i) {
    if (function[i].name[0] != 'j') continue;
    const unsigned long target = strtoul(function[i].operands.c_str(), nullptr, 16);
    if (target < function.front().address || target > function[i].address) continue;
    size_t first = i;
    while (function[first].address > target) --first;
    if (loops.empty() || loops.back().last < first) loops.push_back({first, i});
  }
  return loops;
}

bool has(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("simd: no inner loop of a micro-kernel touches the stack") {
#if !defined(__OPTIMIZE__) || !defined(__x86_64__)
  MESSAGE("skipped: not the optimised x86 code");
#else
  if (test::sanitized()) {
    MESSAGE("skipped: not the optimised code");
    return;
  }
  const std::filesystem::path folder = test::binary_dir() / "ops";
  if (std::system("objdump --version >/dev/null 2>&1") != 0 || !std::filesystem::is_directory(folder)) {
    MESSAGE("skipped: no objdump, or the object files are not in ", folder.string());
    return;
  }
  for (const std::string& kernel : kKernels) {
    int loops = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string path = entry.path().string();
      const size_t at = path.find("tessera_simd_" + kernel);
      if (at == std::string::npos || entry.path().extension() != ".o" || has(path, "_0.dir")) continue;
      for (const std::vector<Instruction>& function : disassemble(entry.path())) {
        bool frame = false;  // rbp is the frame's pointer and no ordinary register
        for (const Instruction& i : function) frame = frame || (i.name == "mov" && i.operands == "%rsp,%rbp");
        for (const Loop& loop : innermost_loops(function)) {
          int products = 0;
          std::string on_the_stack;
          for (size_t i = loop.first; i <= loop.last; ++i) {
            const Instruction& instruction = function[i];
            products += has(instruction.name, "vfmadd") || has(instruction.name, "tdpbf16ps");
            if (has(instruction.operands, "(%rsp") || (frame && has(instruction.operands, "(%rbp")))
              on_the_stack = instruction.name + " " + instruction.operands;
          }
          if (products < 4) continue;
          ++loops;
          CHECK_MESSAGE(on_the_stack.empty(), entry.path().filename().string(), " of ", kernel, ": ", on_the_stack);
        }
      }
    }
    CHECK_MESSAGE(loops > 0, kernel, " has no inner loop");
  }
#endif
}

}  // namespace tessera::test
