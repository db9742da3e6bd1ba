// The dashboard's files, built from dashboard/ and embedded compressed.
#pragma once
#include <span>
#include <string_view>

#include "admin/routes.hpp"

namespace exeat::admin {

struct asset {
  std::string_view path;
  std::string_view type;
  std::span<const unsigned char> gzip;
};

/// Null where there is none; at "/" only for who takes HTML, which other clients do not say.
const asset* find_asset(std::string_view path, std::string_view accept) noexcept;
response answer_asset(const asset& asset, const request& request);

}  // namespace exeat::admin
