// Bundles of source hosts.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

constexpr bundle_host github[]{
    host("github.com", multi_tenant | upload | redirects,
         "clones over https, and where releases are asked for; it takes pushes, too, with anybody's token"),
    host("api.github.com", multi_tenant | upload | redirects,
         "the API; with anybody's token it makes gists, issues and repositories"),
    host("codeload.github.com", multi_tenant, "source archives"),
    host("raw.githubusercontent.com", multi_tenant, "single files"),
    host("objects.githubusercontent.com", multi_tenant, "release assets and Git LFS"),
    host("release-assets.githubusercontent.com", multi_tenant, "release assets"),
    host("github-cloud.githubusercontent.com", multi_tenant, "Git LFS"),
};

constexpr bundle_host gitlab[]{
    host("gitlab.com", multi_tenant | upload | redirects,
         "clones over https, the API and its packages; it takes pushes, too, with anybody's token"),
};

constexpr bundle_host bitbucket[]{
    host("bitbucket.org", multi_tenant | upload | redirects,
         "clones over https; it takes pushes, too, with anybody's token"),
    host("api.bitbucket.org", multi_tenant | upload | redirects, "the API; it takes snippets, too"),
};

constexpr bundle table[]{
    {"github", "sources, archives and releases of GitHub", last_review, github,
     "gist.github.com, uploads.github.com and the storage host behind LFS uploads, which a build only writes "
     "to. "
     "Images: `use: containers`."},
    {"gitlab", "sources and packages of gitlab.com", last_review, gitlab,
     "The storage host of all of Google's customers, to which large downloads are sent on; "
     "registry.gitlab.com."},
    {"bitbucket", "sources of bitbucket.org", last_review, bitbucket,
     "The buckets behind downloads and LFS: name those that `exeat report` shows."},
};

}  // namespace

std::span<const bundle> source_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
