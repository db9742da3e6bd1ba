#include "cli/notify.hpp"

#include <systemd/sd-daemon.h>

namespace exeat::cli {

void notify_service_manager(const char* state) noexcept {
  (void)sd_notify(0, state);
}

}  // namespace exeat::cli
