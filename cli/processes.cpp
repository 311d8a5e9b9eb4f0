#include "cli/processes.h"

#include <cstdio>

#include "cli/commands.h"
#include "tensor/error.h"

namespace tessera {

void on_processes(const std::function<void(Communicator&)>& work) {
  const std::shared_ptr<Communicator> communicator = connect_processes();
  if (!communicator->first()) (void)!std::freopen("/dev/null", "w", stdout);
  try {
    work(*communicator);
  } catch (const CLI::RuntimeError&) {  // a signal, which all of them have heard of
    throw;
  } catch (const std::exception& error) {
    communicator->leave(error.what());
    if (communicator->size() == 1) throw;
    fail("{}: {}", communicator->name(communicator->rank()), error.what());
  }
}

}  // namespace tessera
