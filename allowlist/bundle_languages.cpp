// Bundles of language ecosystems: their registries and toolchains.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

constexpr bundle_host node[]{
    registry("**.npmjs.org", multi_tenant | upload,
             "the npm registry; it takes `npm publish`, too, with anybody's token"),
    registry("**.yarnpkg.com", multi_tenant | upload,
             "the npm registry under the name in lock files of Yarn 1, and Yarn's own releases"),
    host("nodejs.org", none, "Node.js releases, and the headers that node-gyp builds against"),
};

constexpr bundle_host python[]{
    registry("**.pypi.org", multi_tenant | upload,
             "the index of packages; it takes uploads, too, with anybody's token"),
    registry("**.pythonhosted.org", multi_tenant, "the files of the packages, of every publisher"),
    host("www.python.org", none, "sources of CPython, for pyenv"),
};

constexpr bundle_host rust[]{
    registry("**.crates.io", multi_tenant | upload,
             "the index and the crates; it takes `cargo publish`, too, with anybody's token"),
    host("static.rust-lang.org", none, "toolchains, for rustup"),
    host("sh.rustup.rs", none, "the installer of rustup"),
};

constexpr bundle_host go[]{
    registry(
        "**.golang.org", multi_tenant | upload | redirects,
        "module proxy and checksum database; the proxy asks any origin that a module path names, so a path "
        "can carry data out"),
    host("go.dev", redirects, "the list of toolchains; the downloads are at dl.google.com"),
    host("dl.google.com", none, "toolchains"),
};

constexpr bundle_host java[]{
    registry("**.maven.apache.org", multi_tenant, "Maven Central, of every publisher"),
    registry("**.maven.org", multi_tenant, "Maven Central under the name that older builds use"),
    registry("**.gradle.org", multi_tenant | upload | redirects,
             "Gradle's distributions and its plugin portal, which takes `publishPlugins` with anybody's key"),
    host("api.adoptium.net", redirects, "Temurin JDKs; the downloads are GitHub releases"),
};

constexpr bundle_host ruby[]{
    registry("**.rubygems.org", multi_tenant | upload,
             "index and gems; it takes `gem push`, too, with anybody's key"),
    host("cache.ruby-lang.org", none, "sources of Ruby, for ruby-build"),
};

constexpr bundle_host php[]{
    registry("**.packagist.org", multi_tenant | upload,
             "the index of packages; its site takes submissions of any account"),
    host("getcomposer.org", none, "Composer itself, and its keys"),
};

constexpr bundle_host dotnet[]{
    registry("**.nuget.org", multi_tenant | upload,
             "index and packages; it takes `nuget push`, too, with anybody's key"),
    host("builds.dotnet.microsoft.com", none, "SDKs and runtimes, and the script that installs them"),
    host("aka.ms", redirects, "where that script looks up the newest version of a channel"),
};

constexpr bundle table[]{
    {"node", "npm, Yarn and pnpm packages; Node.js", last_review, node,
     "GitHub, for dependencies from git and binaries that packages fetch in their install scripts: `use: "
     "github`."},
    {"python", "pip, uv and Poetry packages; CPython", last_review, python,
     "GitHub, where uv and setup-python fetch their builds of CPython: `use: github`."},
    {"rust", "crates and Rust toolchains", last_review, rust,
     "GitHub, for dependencies from git: `use: github`."},
    {"go", "Go modules and toolchains", last_review, go,
     "The storage host of all of Google's customers, to which the proxy sends clients on for some large "
     "modules: vendor those, or set GOPROXY to a mirror of your own. GitHub, for GOPRIVATE and "
     "GOPROXY=direct: "
     "`use: github`."},
    {"java", "Maven and Gradle builds; JDKs", last_review, java,
     "GitHub, where the distributions of Gradle and of Temurin are: `use: github`. Google's Maven "
     "repository, "
     "JitPack and the repositories of single vendors: name those that the build lists."},
    {"ruby", "gems and Ruby", last_review, ruby, "GitHub, for gems from git: `use: github`."},
    {"php", "Composer packages", last_review, php,
     "GitHub, where nearly all packages are downloaded from: `use: github`."},
    {"dotnet", "NuGet packages and .NET", last_review, dotnet, ""},
};

}  // namespace

std::span<const bundle> language_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
