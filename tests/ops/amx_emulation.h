// Intel's AMX instructions on a machine that lacks them: while an AmxEmulation lives, a handler of SIGILL decodes the
// tile instruction that this machine refused, carries it out on tiles of its own, one file of them per thread, and goes
// on after it. So the code that runs on the unit runs here, instruction by instruction as it was compiled. Where the
// machine has the unit nothing is refused and nothing emulated.
//
// Known: ldtilecfg, tilerelease, tilezero, tileloadd, tileloaddt1, tilestored, tdpbf16ps, with the arithmetic and the
// checks of Intel's manual (Instruction Set Reference, TDPBF16PS and "Intel AMX instruction exceptions").
#pragma once

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>

#include <string>

namespace tessera::test {

class AmxEmulation {
 public:
  AmxEmulation();
  ~AmxEmulation();
  AmxEmulation(const AmxEmulation&) = delete;
  AmxEmulation& operator=(const AmxEmulation&) = delete;

  long instructions() const;  // that were emulated
  // What the unit would have refused, the first of it, or empty: wrong shapes, tiles used before they are configured.
  std::string fault() const;

 private:
  struct sigaction before_;
};

}  // namespace tessera::test

#endif
