// Every key of exeat.yaml, once: the loader, the defaults in the documents and the reference page come from
// here.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "config/settings.hpp"
#include "config/values.hpp"

namespace exeat::config {

/// What reading a value may need besides the value.
struct settings_draft {
  config::settings settings;
  std::string directory;  ///< of the file; relative paths are resolved against it; empty leaves them
};

struct setting_row {
  std::string_view path;  ///< "timeouts.head"; what stands before the dot is a map
  std::string schema;     ///< JSON Schema of the value; a `$ref` points into `$defs` of config/schema.cpp
  std::string type;       ///< for people, with the bounds
  std::string_view doc;
  void (*read)(settings_draft& into, const yaml::node& value, yaml::error_list& errors);
  /// What the value is by default, as the file would say it, or in words.
  std::string (*show)(const settings& defaults);
};

/// All keys, in the order of the page.
std::span<const setting_row> setting_rows();

/// A map that names an address: an entry under `listeners`, `admin` or `control`, while it is read.
struct endpoint_draft {
  std::optional<endpoint> address;
  std::optional<std::string> socket;
  const yaml::node* mode_node = nullptr;
  ::mode_t mode = 0600;
  std::string phase;
  std::optional<tls_settings> tls;
  const yaml::node* phase_node = nullptr;
  const yaml::node* identity_node = nullptr;
  std::string token_file;
  std::vector<std::string> allowed_hosts;
};
std::span<const key_row<endpoint_draft>> listener_rows() noexcept;
std::span<const key_row<endpoint_draft>> admin_rows() noexcept;
std::span<const key_row<endpoint_draft>> control_rows() noexcept;

/// Reads the map at the top of exeat.yaml.
void read_settings(settings_draft& into, const yaml::node& root, yaml::error_list& errors);

}  // namespace exeat::config
