#pragma once
#include <sys/resource.h>

namespace exeat::bench {

/// Raises the soft limit of descriptors to the hard one.
inline void take_all_descriptors() noexcept {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace exeat::bench
