// Bundles of CI vendors: what their runners themselves need, whatever the job does.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

// Artifacts, caches and logs lie in storage accounts of GitHub's that are numbered from 0 to 19. Anybody can
// open an account beside them, so they are twenty names and no wildcard.
#define EXEAT_RESULTS(number)                                                        \
  host("productionresultssa" number ".blob.core.windows.net", multi_tenant | upload, \
       "artifacts, caches and logs; whoever has a signed URL of a job of theirs writes there, too")

constexpr bundle_host github_actions[]{
    host("github.com", multi_tenant | upload | redirects,
         "clones over https, and where releases are asked for; it takes pushes, too, with anybody's token"),
    host("api.github.com", multi_tenant | upload | redirects,
         "the API; with anybody's token it makes gists, issues and repositories"),
    host("codeload.github.com", multi_tenant, "the actions that a workflow names"),
    host("objects.githubusercontent.com", multi_tenant, "tools and updates of the runner, from releases"),
    host("release-assets.githubusercontent.com", multi_tenant,
         "tools and updates of the runner, from releases"),
    {.host = "*.actions.githubusercontent.com",
     .max_names = 16,
     .risks = upload,
     .reason = "the runner's own services: jobs, tokens, logs and results; a job's token says whose"},
    EXEAT_RESULTS("0"),
    EXEAT_RESULTS("1"),
    EXEAT_RESULTS("2"),
    EXEAT_RESULTS("3"),
    EXEAT_RESULTS("4"),
    EXEAT_RESULTS("5"),
    EXEAT_RESULTS("6"),
    EXEAT_RESULTS("7"),
    EXEAT_RESULTS("8"),
    EXEAT_RESULTS("9"),
    EXEAT_RESULTS("10"),
    EXEAT_RESULTS("11"),
    EXEAT_RESULTS("12"),
    EXEAT_RESULTS("13"),
    EXEAT_RESULTS("14"),
    EXEAT_RESULTS("15"),
    EXEAT_RESULTS("16"),
    EXEAT_RESULTS("17"),
    EXEAT_RESULTS("18"),
    EXEAT_RESULTS("19"),
};
#undef EXEAT_RESULTS

constexpr bundle table[]{
    {"github-actions", "the runner of GitHub Actions", last_review, github_actions,
     "Addresses of the machine's own cloud (metadata, the wire server), which the address guard refuses. "
     "What "
     "the job does: the bundles of its languages. Images: `use: containers`."},
};

}  // namespace

std::span<const bundle> ci_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
