// The named intermediate results of a forward pass, for tests, goldens and pictures:
//
//   nn::Intermediates seen;                   nn::keep("encoder", y);   // in a module
//   model.forward(images);
//   seen.at("encoder")
#pragma once

#include <map>
#include <string>
#include <utility>

#include "autograd/var.h"

namespace tessera::nn {

// While one lives, it receives what modules keep() on this thread.
class Intermediates : public std::map<std::string, Tensor> {
 public:
  Intermediates() : outer_(std::exchange(innermost_, this)) {}
  ~Intermediates() { innermost_ = outer_; }
  Intermediates(const Intermediates&) = delete;
  Intermediates& operator=(const Intermediates&) = delete;
  static bool wanted() { return innermost_; }

 private:
  friend void keep(const std::string& name, const Var& x);
  static inline constinit thread_local Intermediates* innermost_ = nullptr;
  Intermediates* outer_;
};

inline void keep(const std::string& name, const Var& x) {
  if (Intermediates::wanted()) (*Intermediates::innermost_)[name] = x.value();
}

}  // namespace tessera::nn
