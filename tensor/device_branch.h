// Work of a device beside other work of it: two parts of a network of which neither reads what the other makes.
//
//   DeviceBranch branch(device);
//   branch.run([&] { y = first(x); });
//   z = second(x);
//   branch.join();
//   use(y, z);
//
// The host calls first and second one after the other. On a GPU what they launch runs in two queues: the branch begins
// when all is done that was launched before it, and what is launched after join() waits for the branch. Everywhere
// else, and inside another branch or a recording (tensor/device_graph.h), run() is an ordinary call.
//
// Memory that one part frees does not serve the other before join(), so both together take more than one after the
// other.
#pragma once

#include <optional>

#include "tensor/allocator.h"

namespace tessera {

class DeviceBranch {
 public:
  explicit DeviceBranch(Device device) : device_(device) {}
  ~DeviceBranch();  // joins
  DeviceBranch(const DeviceBranch&) = delete;
  DeviceBranch& operator=(const DeviceBranch&) = delete;

  // Once.
  template <class Work>
  void run(const Work& work) {
    const Beside beside(*this);
    work();
  }

  void join();

 private:
  // The thread's work while this lives is the branch's.
  class Beside {
   public:
    explicit Beside(DeviceBranch& branch);
    ~Beside();
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;

   private:
    DeviceBranch& branch_;
  };

  Device device_;
  std::optional<BranchMemory> memory_;  // from run() to join(), where there is a second queue
};

}  // namespace tessera
