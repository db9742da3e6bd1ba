#include "allowlist/bundles.hpp"

#include <algorithm>
#include <vector>

#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {

std::string to_string(risk risks) {
  std::string out;
  const auto note = [&](risk one, std::string_view word) {
    if (!has(risks, one)) return;
    if (!out.empty()) out += ", ";
    out += word;
  };
  note(risk::multi_tenant, "multi-tenant");
  note(risk::upload, "upload");
  note(risk::redirects, "redirects");
  return out.empty() ? "none" : out;
}

std::span<const bundle> bundles() noexcept {
  static const auto all = [] {
    std::vector<bundle> out;
    for (const auto& some : {language_bundles(), more_language_bundles(), system_bundles(), source_bundles(),
                             model_bundles(), bedrock_bundles(), ci_bundles(), browser_bundles()})
      out.insert(out.end(), some.begin(), some.end());
    std::ranges::sort(out, {}, &bundle::name);
    return out;
  }();
  return all;
}

const bundle* find_bundle(std::string_view name) noexcept {
  const auto all = bundles();
  const auto found = std::ranges::lower_bound(all, name, {}, &bundle::name);
  return found != all.end() && found->name == name ? &*found : nullptr;
}

}  // namespace exeat::allowlist
