// Finds data races between the threads of a kernel, where the kernels are compiled with TESSERA_RACES and
// -fsanitize=thread (tessera_cuda in CMakeLists.txt); nothing in other builds. docs/emulated.md says what is found.
#pragma once

#include <cstddef>

namespace tessera::emulated::races {

#ifdef TESSERA_RACES

// --- Called by the grid: what orders the accesses before it and those after it.
void begin_launch();
void begin_block();
void block_barrier();
void warp_barrier(int warp);
void end_launch(const char* kernel);  // throws Error if a race was found

// Memory that nobody has touched yet: each block has its own shared memory, though at the same address.
void forget(const void* data, size_t bytes);

// Which thread of the block runs from here on, and on which stack: nobody else sees what lies there.
void enter(int thread, const void* stack, size_t stack_bytes);

// Whether accesses are the thread's, while one lives, or the emulation's own and of no interest.
class Watching {
 public:
  explicit Watching(bool on);
  ~Watching();
  Watching(const Watching&) = delete;

 private:
  bool before_;
};

// The thread's, where it reads and writes at once.
void atomic_access(const void* data, size_t bytes);

#else

inline void begin_launch() {}
inline void begin_block() {}
inline void block_barrier() {}
inline void warp_barrier(int) {}
inline void end_launch(const char*) {}
inline void forget(const void*, size_t) {}
inline void enter(int, const void*, size_t) {}
struct Watching {
  explicit Watching(bool) {}
};
inline void atomic_access(const void*, size_t) {}

#endif

}  // namespace tessera::emulated::races
