// How much arithmetic an operator does, told where it runs.
//
// The table of an operator may know the formula of its work (ops/kernel_table.h). It is evaluated only while somebody
// listens on the calling thread, so an ordinary call pays for one look at a pointer.
#pragma once

#include "tensor/shape.h"

namespace tessera {

struct Work {
  i64 multiply_adds = 0;  // of convolutions and matrix products
  i64 published = 0;      // as fvcore counts, the counter of detectron2 and so of the papers (docs/numbers.md)

  Work& operator+=(const Work& other) {
    multiply_adds += other.multiply_adds;
    published += other.published;
    return *this;
  }
};

// The work of n multiply-adds that the published counts hold as well.
inline Work multiply_adds(i64 n) {
  return {n, n};
}

// Hears of every operator that runs on this thread while it lives. The newest one listens, the others wait.
class WorkListener {
 public:
  WorkListener() : outer_(current_) { current_ = this; }
  virtual ~WorkListener() { current_ = outer_; }
  WorkListener(const WorkListener&) = delete;
  WorkListener& operator=(const WorkListener&) = delete;

  // result: the shape of the last tensor that the operator wrote.
  virtual void ran(const char* op, const Work& work, const Shape& result) = 0;
  static WorkListener* current() { return current_; }

 private:
  WorkListener* outer_;
  static constinit thread_local WorkListener* current_;
};

// For arithmetic that a reference does with an operator of its own and ours inside another one.
inline void note_work(const char* op, const Work& work, const Shape& result) {
  if (WorkListener* listener = WorkListener::current()) listener->ran(op, work, result);
}

}  // namespace tessera
