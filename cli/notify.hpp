// The service manager's notification socket (sd_notify(3)).
#pragma once

namespace exeat::cli {

/// "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...": sent where $NOTIFY_SOCKET names a socket, else
/// nothing.
void notify_service_manager(const char* state) noexcept;

}  // namespace exeat::cli
