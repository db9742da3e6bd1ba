// What `exeat doctor` looks at besides the tools: the proxy itself, variables, files of tools, this machine.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/doctor_fence.hpp"
#include "cli/env_way.hpp"
#include "config/settings.hpp"

namespace exeat::cli {

struct finding {
  enum class level : std::uint8_t { good, warning, bad };
  std::string name;
  finding::level how = level::good;
  std::string detail;
  std::string fix;  ///< empty: none is needed
};

/// Asks the proxy for a name that cannot exist, as a client does, and reads who answers. `phase` empty: any.
/// At most three seconds. The one thing here that leaves this machine, where the proxy is not on it.
finding check_proxy(const proxy_way& way, const tcp_place& at, std::string_view phase);

/// Proxy variables that are missing, disagree, or name another proxy; NO_PROXY.
std::vector<finding> check_variables(const proxy_way& way, std::string_view phase);

/// The entries of a NO_PROXY beyond loopback: bad where they cover everything or a whole domain of the
/// public.
std::vector<finding> check_no_proxy(std::string_view name, std::string_view value);

/// proxy settings in .npmrc, .gitconfig, .curlrc, .wgetrc, pip.conf and the files of apt that name another
/// proxy than `way`; each a warning: what it leads to shows in the trial of its tool.
std::vector<finding> check_files(const proxy_way& way, const tcp_place& at);

/// The client's docker: what config.json hands to containers and builds. None: there is no docker here.
std::optional<finding> check_docker(const proxy_way& way, std::string_view phase);

/// That the policy of `settings` loads, that the clock is one by which `expires` can be judged, and how many
/// files a process may open. `settings` null: the last two alone.
std::vector<finding> check_machine(const config::settings* settings);

/// The host and port that a proxy setting names: "http://u:t@127.0.0.1:3128/" is "127.0.0.1:3128".
std::string place_of(std::string_view proxy_setting);

/// `text` with what stands between // and @ taken out, for it may be a token; printable.
std::string without_tokens(std::string_view text);

}  // namespace exeat::cli
