// What is compiled with -fsanitize=thread calls a function before every access to memory. These are the functions, in
// place of ThreadSanitizer's library: a launch has more threads than that can tell apart, and barriers, which alone
// order them, are simpler than its vector clocks. (Linux' KCSAN uses the calls in the same way.)
//
// Two accesses race if two threads of one launch make them, at least one writes, not both are atomic, and no barrier
// stands between. One thread runs at a time, so a single clock, which ticks at each launch, block and barrier, tells
// what stood between: accesses of two blocks always race, those of two warps unless the block's barrier ticked since,
// those of two lanes unless that or the warp's did. Of the accesses to an address it is enough to keep the last write
// and, of the reads and of the atomics since, the latest and the one that is farthest from it: whatever thread comes
// next, if it races with any of them, then with one of these two.
#ifdef TESSERA_RACES

#include "tensor/cuda/emulated/races.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "tensor/cuda/emulated/cuda_runtime.h"
#include "tensor/cuda/emulated/shadow_memory.h"
#include "tensor/error.h"

extern "C" const char __executable_start;  // the linker's

namespace tessera::emulated::races {

namespace {

enum class Kind { kRead, kWrite, kAtomic };

struct Race {
  uint3 block;
  Access earlier, later;
  Kind earlier_kind, later_kind;
  bool same_block;
};

// What one thread of the host launches; it is the only one that runs.
struct Watch {
  Time clock = 0, launch = 0, block = 0, barrier = 0;  // the times of the last ones
  std::array<Time, 32> warp_barriers{};                // no GPU has blocks of more warps
  int thread = 0;
  Address stack = 0;
  size_t stack_bytes = 0;
  std::optional<Race> race;  // the launch's first
};

constinit thread_local bool watching = false;
constinit thread_local Watch watch;

Pages& pages() {
  constinit static thread_local Pages* instance = nullptr;
  if (!instance) instance = new Pages;
  return *instance;
}

[[gnu::always_inline]] inline bool is_before_now(const Access& a) {
  if (a.time < watch.block) return a.time < watch.launch;
  const int warp = a.thread / kWarp;
  return a.thread == watch.thread || a.time < watch.barrier ||
         (warp == watch.thread / kWarp && a.time < watch.warp_barriers[static_cast<size_t>(warp)]);
}

// From the thread that runs, in the tree of blocks, warps and lanes.
[[gnu::always_inline]] inline int distance(const Access& a) {
  if (is_before_now(a)) return 0;
  if (a.time < watch.block) return 3;
  return a.thread / kWarp != watch.thread / kWarp ? 2 : 1;
}

[[gnu::noinline]] void found(const Access& earlier, Kind earlier_kind, const Access& later, Kind kind) {
  if (!watch.race) watch.race = Race{blockIdx, earlier, later, earlier_kind, kind, earlier.time >= watch.block};
}

[[gnu::always_inline]] inline void check(const Access& earlier, Kind earlier_kind, const Access& later, Kind kind) {
  if (!is_before_now(earlier)) found(earlier, earlier_kind, later, kind);
}

[[gnu::always_inline]] inline void remember(std::array<Access, 2>& accesses, const Access& now) {
  if (accesses[0].time == now.time && accesses[0].thread == now.thread) return;
  accesses = {now, distance(accesses[0]) >= distance(accesses[1]) ? accesses[0] : accesses[1]};
}

void access(Cell& cell, Kind kind, const Access& now) {
  check(cell.write, Kind::kWrite, now, kind);
  if (kind != Kind::kRead)
    for (const Access& read : cell.reads) check(read, Kind::kRead, now, kind);
  if (kind != Kind::kAtomic)
    for (const Access& atomic : cell.atomics) check(atomic, Kind::kAtomic, now, kind);
  if (kind == Kind::kWrite)
    cell = {.write = now, .reads = {}, .atomics = {}};
  else
    remember(kind == Kind::kRead ? cell.reads : cell.atomics, now);
}

void access(Kind kind, const void* data, size_t bytes, const void* return_address) {
  if (!watching) return;
  Address at = reinterpret_cast<Address>(data);
  if (at - watch.stack < watch.stack_bytes) return;
  const Watching off(false);
  const auto place = static_cast<const char*>(return_address) - 1 - &__executable_start;  // - 1: within the call
  const Access now{watch.clock, static_cast<std::uint32_t>(place), watch.thread};
  while (bytes > 0) {
    Page& page = pages().at(at / Page::kBytes);
    const size_t first = at % Page::kBytes, count = std::min(bytes, Page::kBytes - first);
    while ((first | count) % page.each != 0) page.refine();
    for (size_t i = first / page.each; i < (first + count) / page.each; ++i) access(page.cells[i], kind, now);
    at += count;
    bytes -= count;
  }
}

// "softmax.cu:40 (storage.h:20)": the kernel's line and, where it calls functions that became a part of it, theirs.
std::string source_line(const Access& access) {
  static std::map<std::uint32_t, std::string> known;
  std::string& line = known[access.place];
  if (!line.empty()) return line;
  const std::string command = fmt::format("addr2line -s -i -e '{}' {:#x} 2>/dev/null",
                                          std::filesystem::read_symlink("/proc/self/exe").string(), access.place);
  if (FILE* lines = popen(command.c_str(), "r")) {  // from the innermost function outwards
    for (std::array<char, 256> text; std::fgets(text.data(), text.size(), lines);) {
      const std::string_view whole = text.data(), one = whole.substr(0, whole.find_first_of(" \n"));
      if (one.starts_with("launch.h:")) break;  // where the kernel is called
      line = line.empty() ? one : fmt::format("{} ({})", one, line);
    }
    pclose(lines);
  }
  if (line.empty()) line = fmt::format("{:#x}", access.place);
  return line;
}

}  // namespace

void begin_launch() {
  constexpr size_t kManyPages = 4096;                        // of floats, 250 MB of cells
  constexpr Time kLate = Time{1} << 31;                      // the clock has 32 bits
  if (pages().size() > kManyPages || watch.clock > kLate) {  // what was before the launch is of no interest
    pages().clear();
    watch.clock = 0;
  }
  watch.launch = ++watch.clock;
  watch.race.reset();
}

void begin_block() {
  watch.block = watch.barrier = ++watch.clock;
  watch.warp_barriers.fill(watch.clock);
}

void block_barrier() {
  watch.barrier = ++watch.clock;
}

void warp_barrier(int warp) {
  watch.warp_barriers[static_cast<size_t>(warp)] = ++watch.clock;
}

void end_launch(const char* kernel) {
  if (!watch.race) return;
  const Race& race = *watch.race;
  const auto verb = [](Kind kind, const char* read, const char* write, const char* change) {
    return kind == Kind::kRead ? read : kind == Kind::kWrite ? write : change;
  };
  fail(
      "cuda-emulated: {}: a race: thread {} of block ({}, {}, {}) {} at {} what thread {} of {} block {} at {}, and {}",
      kernel, race.later.thread, race.block.x, race.block.y, race.block.z,
      verb(race.later_kind, "reads", "writes", "atomically changes"), source_line(race.later), race.earlier.thread,
      race.same_block ? "the same" : "another", verb(race.earlier_kind, "read", "wrote", "atomically changed"),
      source_line(race.earlier), race.same_block ? "no barrier stands between" : "nothing orders blocks");
}

void forget(const void* data, size_t bytes) {
  const Address begin = reinterpret_cast<Address>(data), end = begin + bytes;
  for (Address number = begin / Page::kBytes; number * Page::kBytes < end; ++number) {
    Page* const touched = pages().find(number);
    if (!touched) continue;
    auto& [each, cells] = *touched;
    const Address page = number * Page::kBytes;
    const auto cell = [&](Address at) {
      return cells.begin() + static_cast<std::ptrdiff_t>((std::clamp(at, page, page + Page::kBytes) - page) / each);
    };
    std::fill(cell(begin), cell(end + each - 1), Cell{});
  }
}

void enter(int thread, const void* stack, size_t stack_bytes) {
  watch.thread = thread;
  watch.stack = reinterpret_cast<Address>(stack);
  watch.stack_bytes = stack_bytes;
}

Watching::Watching(bool on) : before_(watching) {
  watching = on;
}

Watching::~Watching() {
  watching = before_;
}

void atomic_access(const void* data, size_t bytes) {
  access(Kind::kAtomic, data, bytes, __builtin_return_address(0));
}

// --- What the compiler calls.
extern "C" {

#define TESSERA_ACCESSES(size)                                     \
  void __tsan_read##size(void* data) {                             \
    access(Kind::kRead, data, size, __builtin_return_address(0));  \
  }                                                                \
  void __tsan_write##size(void* data) {                            \
    access(Kind::kWrite, data, size, __builtin_return_address(0)); \
  }
TESSERA_ACCESSES(1)
TESSERA_ACCESSES(2)
TESSERA_ACCESSES(4)
TESSERA_ACCESSES(8)
TESSERA_ACCESSES(16)
#undef TESSERA_ACCESSES

void __tsan_read_range(void* data, size_t bytes) {
  access(Kind::kRead, data, bytes, __builtin_return_address(0));
}
void __tsan_write_range(void* data, size_t bytes) {
  access(Kind::kWrite, data, bytes, __builtin_return_address(0));
}

// Of no interest: calls of functions, and what the host does: objects with virtual functions, counts of references,
// flags.
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit(void*) {}
void __tsan_vptr_update(void**, void*) {}
unsigned char __tsan_atomic8_load(const volatile void* data, int) {
  return __atomic_load_n(static_cast<const volatile unsigned char*>(data), __ATOMIC_SEQ_CST);
}
unsigned __tsan_atomic32_fetch_add(volatile void* data, unsigned term, int) {
  return __atomic_fetch_add(static_cast<volatile unsigned*>(data), term, __ATOMIC_SEQ_CST);
}

}  // extern "C"

}  // namespace tessera::emulated::races
#endif
