#include "admin/assets.hpp"

#include <algorithm>
#include <array>

#include "admin/reply.hpp"

// CMake gives the directory of the compressed files, and compiles this again when one changes.
#define EXEAT_EMBED(name, file)                                          \
  __asm__(                                                               \
      ".pushsection .rodata\n"                                           \
      ".global exeat_asset_" #name                                       \
      "\n"                                                               \
      "exeat_asset_" #name                                               \
      ":\n"                                                              \
      ".incbin \"" EXEAT_ASSETS "/" file                                 \
      ".gz\"\n"                                                          \
      ".global exeat_asset_" #name                                       \
      "_end\n"                                                           \
      "exeat_asset_" #name                                               \
      "_end:\n"                                                          \
      ".byte 0\n"                                                        \
      ".popsection\n");                                                  \
  extern "C" const unsigned char exeat_asset_##name[];      /* NOLINT */ \
  extern "C" const unsigned char exeat_asset_##name##_end[] /* NOLINT */

EXEAT_EMBED(html, "index.html");
EXEAT_EMBED(script, "app.js");
EXEAT_EMBED(style, "app.css");
EXEAT_EMBED(icon, "icon.svg");

namespace exeat::admin {
namespace {

constexpr std::string_view html_type = "text/html; charset=utf-8";

const std::array<asset, 4>& assets() noexcept {
  static const std::array<asset, 4> all{
      asset{"/", html_type, {exeat_asset_html, exeat_asset_html_end}},
      asset{"/assets/app.js", "text/javascript; charset=utf-8", {exeat_asset_script, exeat_asset_script_end}},
      asset{"/assets/app.css", "text/css; charset=utf-8", {exeat_asset_style, exeat_asset_style_end}},
      asset{"/assets/icon.svg", "image/svg+xml", {exeat_asset_icon, exeat_asset_icon_end}},
  };
  return all;
}

}  // namespace

const asset* find_asset(std::string_view path, std::string_view accept) noexcept {
  const auto found = std::ranges::find(assets(), path, &asset::path);
  if (found == assets().end()) return nullptr;
  if (found->path == "/" && !accept.contains("text/html")) return nullptr;
  return &*found;
}

response answer_asset(const asset& asset, const request& request) {
  const bool head = request.method() == http::verb::head;
  if (request.method() != http::verb::get && !head) {
    auto out = plain(http::status::method_not_allowed, "That method has no meaning here.\n");
    out.set(http::field::allow, "GET, HEAD");
    return out;
  }
  response out{http::status::ok, 11};
  out.set(http::field::content_type, asset.type);
  out.set(http::field::content_encoding, "gzip");
  harden(out);
  if (asset.type == html_type) {
    out.set(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'");
    out.set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
  }
  out.content_length(asset.gzip.size());
  if (!head) out.body().assign(asset.gzip.begin(), asset.gzip.end());
  return out;
}

}  // namespace exeat::admin
