// CHECK_ERROR(statement, "part"): the statement throws tessera::Error and the message contains the part.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "tensor/error.h"

#define CHECK_ERROR(statement, part)                                             \
  do {                                                                           \
    std::string message_ = "no error";                                           \
    try {                                                                        \
      statement;                                                                 \
    } catch (const ::tessera::Error& error_) {                                   \
      message_ = error_.what();                                                  \
    }                                                                            \
    INFO("message: ", message_);                                                 \
    CHECK_MESSAGE(message_.find(part) != std::string::npos, "expected: ", part); \
  } while (false)
