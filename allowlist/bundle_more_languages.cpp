// Bundles of further language ecosystems.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

constexpr bundle_host haskell[]{
    registry("**.haskell.org", multi_tenant | upload,
             "Hackage, which takes `cabal upload` of any account, too, and the compilers for GHCup"),
    registry("**.stackage.org", none, "Stackage's snapshots, for Stack"),
};

constexpr bundle_host dart[]{
    registry("**.pub.dev", multi_tenant | upload,
             "index and packages; it takes `dart pub publish`, too, of any account"),
};

constexpr bundle_host swift[]{
    host("www.swift.org", none, "the list of toolchains, for Swiftly"),
    host("download.swift.org", none, "toolchains"),
};

constexpr bundle_host elixir[]{
    registry("**.hex.pm", multi_tenant | upload,
             "index, packages, and builds of Elixir; it takes `mix hex.publish`, too, with anybody's key"),
};

constexpr bundle_host perl[]{
    registry_beside(
        "**.cpan.org", multi_tenant | upload,
        "CPAN, of every author; the domain holds rt.cpan.org, too, which takes tickets of any account"),
    registry("**.metacpan.org", multi_tenant, "where clients look up which archive holds a module"),
    host("cpanmetadb.plackperl.org", none, "where cpanm looks that up first"),
};

constexpr bundle_host julia[]{
    registry_beside(
        "**.julialang.org", multi_tenant | upload | redirects,
        "package servers, which send clients on to one near them, and Julia itself; the domain holds "
        "the forum discourse.julialang.org, too"),
};

constexpr bundle_host r[]{
    registry_beside("**.r-project.org", multi_tenant | upload,
                    "CRAN; the domain holds r-forge.r-project.org, too, which takes commits of any account"),
    registry("**.packagemanager.posit.co", none, "CRAN as binaries, which setup-r and the rocker images use"),
    registry("**.p3m.dev", none, "the same under its newer name"),
};

constexpr bundle_host conda[]{
    registry("**.anaconda.org", multi_tenant | upload,
             "channels of everybody, conda-forge among them; it takes `anaconda upload`, too"),
    registry_beside(
        "**.anaconda.com", upload,
        "the default channels and the installers; the domain holds the forum forum.anaconda.com, too"),
};

constexpr bundle table[]{
    {"haskell", "Cabal and Stack packages; GHC", last_review, haskell,
     "GitHub, where Stack's snapshots and GHCup's list of versions are: `use: github`."},
    {"dart", "Dart and Flutter packages", last_review, dart,
     "The SDKs, which lie on the storage host of all of Google's customers: take them from the image, or "
     "from "
     "a bucket's own name (`dart-archive.storage.googleapis.com`)."},
    {"swift", "Swift toolchains", last_review, swift,
     "Packages come from git: `use: github`. CocoaPods, whose CDN is shared by everybody."},
    {"elixir", "Hex packages", last_review, elixir, ""},
    {"perl", "CPAN modules", last_review, perl,
     "Plain HTTP, which cpanm asks in before 1.7048: give it `--from` with an https URL."},
    {"julia", "Julia packages and Julia", last_review, julia, ""},
    {"r", "R packages", last_review, r, "Bioconductor, and packages from git: `use: github`."},
    {"conda", "Conda packages", last_review, conda,
     "Package servers that single channels send clients on to: `exeat report` names them."},
};

}  // namespace

std::span<const bundle> more_language_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
