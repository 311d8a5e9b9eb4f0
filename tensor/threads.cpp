#include "tensor/threads.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace tessera {

void let_waiting_threads_sleep(char** argv, int spins) {
  if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  setenv("GOMP_SPINCOUNT", std::to_string(spins).c_str(), 1);
  std::error_code none;  // by its name, which ps and killall know; where that cannot be, go on as we are
  execv(std::filesystem::read_symlink("/proc/self/exe", none).c_str(), argv);
}

}  // namespace tessera
