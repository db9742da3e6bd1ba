// What a parser of this floor says when it refuses.
#pragma once
#include <string_view>

#include "core/reason.hpp"

namespace exeat::wire {

/// A refusal: the code, and one sentence for people. `detail` is static text and never quotes the input.
struct fault {
  core::reason reason = core::reason::internal_error;
  std::string_view detail;
};

/// What an incremental parser wants next.
enum class parse_status : unsigned char { need_more, done, error };

}  // namespace exeat::wire
