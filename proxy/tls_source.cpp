#include "proxy/tls_source.hpp"

#include <sys/stat.h>

#include <utility>

namespace exeat::proxy {

std::expected<std::unique_ptr<tls_source>, std::string> tls_source::open(config::tls_settings files,
                                                                         report changed) {
  std::unique_ptr<tls_source> out(new tls_source(std::move(files), std::move(changed)));
  if (auto loaded = out->load(out->look()); !loaded) return std::unexpected(std::move(loaded.error()));
  out->next_look_ = std::chrono::steady_clock::now() + look_interval;
  return out;
}

tls_source::stamps tls_source::look() const noexcept {
  stamps out{};
  const std::string* paths[] = {&files_.certificate, &files_.key, &files_.client_ca, &files_.crl};
  for (std::size_t i = 0; i < out.size(); ++i) {
    struct stat status{};
    if (paths[i]->empty() || ::stat(paths[i]->c_str(), &status) != 0) continue;
    out[i] = {status.st_dev,
              status.st_ino,
              status.st_size,
              {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec}};
  }
  return out;
}

std::expected<void, std::string> tls_source::load(const stamps& seen) {
  // Looked at before they are read: what changes in between is seen at the next look.
  seen_ = seen;
  auto loaded = tls_context::load(files_);
  if (!loaded) return std::unexpected(std::move(loaded.error()));
  const std::lock_guard lock(swapping_);
  context_.swap(*loaded);
  return {};
}

std::shared_ptr<const tls_context> tls_source::current(std::chrono::steady_clock::time_point now) {
  // Whoever comes while another one looks takes what is in force.
  if (const std::unique_lock looking(looking_, std::try_to_lock); looking && now >= next_look_) {
    next_look_ = now + look_interval;
    if (const auto seen = look(); seen != seen_) {
      const auto loaded = load(seen);
      if (changed_) changed_(loaded);
    }
  }
  const std::lock_guard lock(swapping_);
  return context_;
}

std::expected<void, std::string> tls_source::reload() {
  const std::lock_guard looking(looking_);
  return load(look());
}

}  // namespace exeat::proxy
