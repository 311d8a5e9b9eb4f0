// See amx_emulation.h. The handler touches nothing but the tiles, the counters below and the operands in memory; an
// address sanitizer sees the latter, so that a tile read beyond its array is reported.
#include "tests/ops/amx_emulation.h"

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <ucontext.h>

#include <atomic>
#include <cstdint>
#include <cstring>

namespace tessera::test {
namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;

constexpr int kTiles = 8, kRows = 16, kBytes = 64;

struct Tile {
  int rows, bytes;  // as configured; a tile that is not used has none
  alignas(64) u8 data[kRows][kBytes];
};
struct TileFile {
  bool configured;
  Tile tiles[kTiles];
};
constinit thread_local TileFile file = {};

std::atomic<long> instructions_done = 0;
std::atomic<const char*> first_fault = nullptr;
struct sigaction* fallback = nullptr;  // who handles what is no tile instruction

// The instruction has no effect then.
void fault(const char* what) {
  const char* none = nullptr;
  first_fault.compare_exchange_strong(none, what);
}

// A VEX-encoded instruction of three bytes of prefix, the opcode, ModRM and what follows. Register numbers are whole.
struct Instruction {
  int prefix;  // 0: none, 1: 66, 2: F3, 3: F2
  int opcode, mode, reg, rm, vvvv;
  greg_t address, stride;  // of the operand in memory: base + displacement, index * scale
  int length;
};

greg_t general_register(const ucontext_t& context, int number) {
  constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return context.uc_mcontext.gregs[kPlaces[number]];
}

// Whether the bytes are VEX.128.0F38.W0 with opcode 49, 4B or 5C; an operand in memory may have any form.
bool decode(const ucontext_t& context, Instruction& out) {
  const u8* code = reinterpret_cast<const u8*>(context.uc_mcontext.gregs[REG_RIP]);
  if (code[0] != 0xC4 || (code[1] & 0x1F) != 2 || (code[2] & 0x84) != 0) return false;
  const int r = (~code[1] >> 7 & 1) * 8, x = (~code[1] >> 6 & 1) * 8, b = (~code[1] >> 5 & 1) * 8;
  out.vvvv = ~code[2] >> 3 & 15;
  out.prefix = code[2] & 3;
  out.opcode = code[3];
  if (out.opcode != 0x49 && out.opcode != 0x4B && out.opcode != 0x5C) return false;
  out.mode = code[4] >> 6;
  out.reg = (code[4] >> 3 & 7) + r;
  out.rm = (code[4] & 7) + b;
  const u8* next = code + 5;
  out.address = out.stride = 0;
  if (out.mode != 3) {
    const bool sib = (code[4] & 7) == 4;
    int base = out.rm;
    if (sib) {
      base = (*next & 7) + b;
      const int index = (*next >> 3 & 7) + x, scale = *next >> 6;
      if (index != 4) out.stride = general_register(context, index) << scale;
      ++next;
    }
    const bool no_base = out.mode == 0 && (base & 7) == 5;
    if (!no_base) {
      out.address = general_register(context, base);
    } else if (!sib) {  // relative to the next instruction, which begins after the displacement
      out.address = reinterpret_cast<greg_t>(next + 4);
    }
    if (out.mode == 1) {
      out.address += static_cast<std::int8_t>(*next);
      next += 1;
    } else if (out.mode == 2 || no_base) {
      std::int32_t displacement;
      std::memcpy(&displacement, next, 4);
      out.address += displacement;
      next += 4;
    }
  }
  out.length = static_cast<int>(next - code);
  return true;
}

void configure(const u8* memory) {
  u8 bytes[64];
  std::memcpy(bytes, memory, 64);
  file = {};
  if (bytes[0] == 0) return;  // palette 0: as tilerelease
  if (bytes[0] != 1) return fault("ldtilecfg: the palette is neither 0 nor 1");
  if (bytes[1] != 0) return fault("ldtilecfg: start_row is not 0, as after an interrupted load");
  for (int i = 2; i < 16; ++i)
    if (bytes[i] != 0) return fault("ldtilecfg: a reserved byte is not 0");
  for (int i = 0; i < 16; ++i) {
    u16 width;
    std::memcpy(&width, bytes + 16 + 2 * i, 2);
    const int rows = bytes[48 + i];
    if (i >= kTiles && (rows != 0 || width != 0)) return fault("ldtilecfg: a tile beyond the eighth is configured");
    if (rows > kRows || width > kBytes) return fault("ldtilecfg: a tile has more than 16 rows or 64 bytes per row");
    if ((rows == 0) != (width == 0)) return fault("ldtilecfg: a tile has rows without bytes or bytes without rows");
    if (i < kTiles) file.tiles[i].rows = rows, file.tiles[i].bytes = width;
  }
  file.configured = true;
}

Tile* usable(int number) {
  if (number >= kTiles || !file.configured || file.tiles[number].rows == 0) {
    fault("a tile is used that is not configured");
    return nullptr;
  }
  return &file.tiles[number];
}

void load(Tile& tile, const Instruction& at) {
  std::memset(tile.data, 0, sizeof tile.data);
  for (int i = 0; i < tile.rows; ++i)
    std::memcpy(tile.data[i], reinterpret_cast<const u8*>(at.address + i * at.stride), static_cast<size_t>(tile.bytes));
}

void store(const Tile& tile, const Instruction& at) {
  for (int i = 0; i < tile.rows; ++i)
    std::memcpy(reinterpret_cast<u8*>(at.address + i * at.stride), tile.data[i], static_cast<size_t>(tile.bytes));
}

float widen(const u8* bf16) {
  u16 half;
  std::memcpy(&half, bf16, 2);
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// a b + c rounded once. In f64 the product of two bfloat16 is exact, and so is the sum, or else too far from a tie for
// the second rounding to matter.
float multiply_add(float a, float b, float c) {
  return static_cast<float>(double(a) * double(b) + double(c));
}

// Row by row: the products of even and of odd k are summed each from zero, k after k, then added to each other and the
// sum to C. Rounding to nearest, denormal operands and results as zero, whatever MXCSR says.
[[gnu::noinline]] void multiply(Tile& c, const Tile& a, const Tile& b) {
  if (c.bytes % 4 != 0 || a.bytes % 4 != 0) return fault("tdpbf16ps: a row is no whole number of f32");
  if (c.rows != a.rows || c.bytes != b.bytes || a.bytes / 4 != b.rows)
    return fault("tdpbf16ps: the shapes of the tiles do not fit together");
  for (int m = 0; m < c.rows; ++m) {
    float even[kBytes / 4] = {}, odd[kBytes / 4] = {}, row[kBytes / 4];
    for (int k = 0; k < a.bytes / 4; ++k) {
      const float first = widen(a.data[m] + 4 * k), second = widen(a.data[m] + 4 * k + 2);
      for (int n = 0; n < c.bytes / 4; ++n) {
        even[n] = multiply_add(first, widen(b.data[k] + 4 * n), even[n]);
        odd[n] = multiply_add(second, widen(b.data[k] + 4 * n + 2), odd[n]);
      }
    }
    std::memcpy(row, c.data[m], sizeof row);
    for (int n = 0; n < c.bytes / 4; ++n) row[n] += even[n] + odd[n];
    std::memcpy(c.data[m], row, sizeof row);
  }
}

// False: no instruction of the unit.
bool execute(const Instruction& i) {
  constexpr int kNone = 0, kF3 = 2, kF2 = 3;
  if (i.opcode == 0x49) {
    if (i.prefix == kNone && i.mode != 3 && i.reg == 0) {
      configure(reinterpret_cast<const u8*>(i.address));
    } else if (i.prefix == kNone && i.mode == 3 && i.reg == 0 && i.rm == 0) {
      file = {};
    } else if (i.prefix == kF2 && i.mode == 3 && i.rm == 0) {
      if (Tile* tile = usable(i.reg)) std::memset(tile->data, 0, sizeof tile->data);
    } else {
      return false;
    }
  } else if (i.opcode == 0x4B) {
    if (i.mode == 3 || (i.rm & 7) != 4 || i.prefix == kNone) return false;
    if (Tile* tile = usable(i.reg))
      i.prefix == kF3 ? store(*tile, i) : load(*tile, i);  // F2 is tileloadd, 66 tileloaddt1
  } else {
    if (i.prefix != kF3 || i.mode != 3) return false;
    Tile *c = usable(i.reg), *a = usable(i.rm), *b = usable(i.vvvv);
    if (!c || !a || !b) return true;
    if (c == a || c == b || a == b) return false;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(0x9FC0);  // no exceptions, to nearest, denormals are zero and flushed to it
    multiply(*c, *a, *b);
    _mm_setcsr(before);
  }
  return true;
}

void handle(int, siginfo_t*, void* where) {
  ucontext_t& context = *static_cast<ucontext_t*>(where);
  Instruction instruction;
  if (!decode(context, instruction) || !execute(instruction)) {
    sigaction(SIGILL, fallback, nullptr);  // who meets the instruction again
    return;
  }
  context.uc_mcontext.gregs[REG_RIP] += instruction.length;
  instructions_done.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

AmxEmulation::AmxEmulation() {
  instructions_done = 0;
  first_fault = nullptr;
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before_);
  fallback = &before_;
}

AmxEmulation::~AmxEmulation() {
  sigaction(SIGILL, &before_, nullptr);
}

long AmxEmulation::instructions() const {
  return instructions_done;
}

std::string AmxEmulation::fault() const {
  const char* what = first_fault;
  return what ? what : "";
}

}  // namespace tessera::test

#endif
