// What a tunnel of the proxy remembers: enough to count it, to log its close, and to hold it against a new
// policy.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/admission.hpp"
#include "proxy/relay.hpp"
#include "proxy/request_record.hpp"

namespace exeat::proxy {

class worker;

/// What the ClientHello said, for the log; already bounded and validated where it is a name.
struct hello_facts {
  std::string sni, alpn;
  std::string_view tls_version;  ///< static text
};

/// The text of a tunnel that `on_tighten: cut` ends.
inline constexpr std::string_view cut_by_reload =
    "the policy that was loaded since denies it, and on_tighten says cut";

/// The text of what the seal of a phase ends, and of what ends with its job.
inline constexpr std::string_view cut_by_seal = "the phase has been sealed";
inline constexpr std::string_view cut_by_end_of_job = "the job has ended";

class live_tunnel final : public tunnel_owner {
 public:
  /// `up` and `down` octets have been moved and counted before it was a tunnel.
  live_tunnel(worker& worker, request_record record, admission admission, hello_facts hello, std::uint64_t up,
              std::uint64_t down);
  ~live_tunnel() override;

  void moved(std::uint64_t up, std::uint64_t down) noexcept override;
  void ended(const tunnel_end& end) noexcept override;

  const request_record& record() const noexcept { return record_; }
  /// The limits of a policy that was loaded since hold from now on.
  void limit(std::shared_ptr<const loaded_policy> by, const meter* limits) noexcept;

 private:
  /// In `audit`: what of the octets that went this way a limit would have kept back.
  void note_excess(way way) noexcept;

  worker& worker_;
  request_record record_;
  admission admission_;
  std::unique_ptr<const hello_facts> hello_;  ///< null: there was none
  bool sni_is_host_ = false;                  ///< then it stands in `record_` alone
  std::uint64_t counted_up_, counted_down_;   ///< in the metrics
};

}  // namespace exeat::proxy
