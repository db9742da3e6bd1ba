// Paths in a file mean what they mean beside that file.
#pragma once
#include <string>
#include <string_view>

namespace exeat::config {

/// `path` against `directory` where it is relative; an empty directory leaves it, and so does "."
/// (directory_of), for people read it.
inline std::string resolve_path(std::string_view path, std::string_view directory) {
  if (directory.empty() || directory == "." || path.starts_with('/')) return std::string(path);
  std::string out(directory);
  if (!out.ends_with('/')) out += '/';
  return out.append(path);
}

/// What stands before the last slash; "." where there is none.
inline std::string directory_of(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace exeat::config
