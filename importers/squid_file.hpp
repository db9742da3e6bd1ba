// squid.conf as directives and ACLs. For the importer only.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "importers/draft.hpp"

namespace exeat::importers::squid {

struct value {
  std::string text;
  int line = 0;
};

/// All lines of one name; the type is the first one's.
struct acl {
  std::string type;  ///< "dstdomain", "src", ...
  std::vector<value> values;
  int line = 0;
};

struct term {
  bool negated = false;
  std::string acl;
};

/// An `http_access` line.
struct access {
  bool allow = false;
  std::vector<term> terms;
  int line = 0;
};

struct file {
  std::map<std::string, acl, std::less<>> acls;  ///< the built-in ones too
  std::vector<access> accesses;
  std::size_t other = 0;  ///< directives that say nothing about destinations
};

/// Reads acl and http_access; lists in files ("path" in quotes) through `from.read`. What cannot be read is
/// left out in `into`, and its ACL gets the type "unreadable".
file read(const source& from, draft& into);

}  // namespace exeat::importers::squid
