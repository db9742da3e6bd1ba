// Bundles of operating systems, images and build tools.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

// apt's own default is plain HTTP; what it fetches is signed, and checked against keys on the disk.
constexpr bundle_host apt(std::string_view pattern, std::string_view reason) {
  auto out = registry_beside(pattern, multi_tenant | upload, reason);
  out.ports = "80,443";
  return out;
}

constexpr bundle_host debian[]{
    apt("**.debian.org",
        "archive and security updates; the domain holds salsa.debian.org, too, which takes pushes of any "
        "account"),
};

constexpr bundle_host ubuntu[]{
    apt("**.ubuntu.com",
        "archive, ports and security updates; the domain holds keyserver.ubuntu.com and paste.ubuntu.com, "
        "too, "
        "which take what anybody sends"),
};

constexpr bundle_host alpine[]{
    registry_beside(
        "**.alpinelinux.org", multi_tenant | upload,
        "apk's mirrors; the domain holds gitlab.alpinelinux.org, too, which takes pushes of any account"),
};

constexpr bundle_host containers[]{
    registry("**.docker.io", multi_tenant | upload,
             "Docker Hub and its tokens; it takes `docker push`, too, of any account"),
    host("production.cloudflare.docker.com", multi_tenant, "layers of Docker Hub"),
    host("production.cloudfront.docker.com", multi_tenant, "layers of Docker Hub"),
    host("docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com", multi_tenant,
         "layers of Docker Hub, in its own bucket"),
    registry("**.ghcr.io", multi_tenant | upload,
             "GitHub's images; it takes pushes, too, with anybody's token"),
    host("pkg-containers.githubusercontent.com", multi_tenant, "layers of GitHub's images"),
    registry("**.quay.io", multi_tenant | upload,
             "Quay's images and their layers; it takes pushes, too, of any account"),
    registry("**.mcr.microsoft.com", none,
             "Microsoft's images, which nobody else can push, and their layers by region"),
};

constexpr bundle_host terraform[]{
    registry_beside(
        "**.terraform.io", multi_tenant | upload | redirects,
        "the registry, which sends clients on to where a provider or module lies; the domain holds "
        "app.terraform.io, too, which takes state of any account"),
    host("releases.hashicorp.com", none, "HashiCorp's own providers and programs"),
};

constexpr bundle_host bazel[]{
    registry("**.bazel.build", multi_tenant,
             "the central registry, Bazel itself and its mirror; a module needs a reviewed change to get in"),
};

constexpr bundle_host nix[]{
    registry_beside(
        "**.nixos.org", upload | redirects,
        "binary cache, channels and releases; the domain holds the forum discourse.nixos.org, too"),
};

constexpr bundle table[]{
    {"debian", "Debian packages", last_review, debian, ""},
    {"ubuntu", "Ubuntu packages", last_review, ubuntu,
     "PPAs, where anybody publishes: name the host of the one that is needed, with `accept_risk`."},
    {"alpine", "Alpine packages", last_review, alpine, ""},
    {"containers", "images of Docker Hub, GitHub, Quay and Microsoft", last_review, containers,
     "Registries whose layers lie on storage of all of a cloud's customers (registry.k8s.io, public.ecr.aws, "
     "gcr.io): mirror the images, or name the hosts that `exeat report` shows."},
    {"terraform", "Terraform providers and modules", last_review, terraform,
     "GitHub, where most providers and modules are downloaded from: `use: github`. checkpoint-api, the "
     "look-up of "
     "newer versions: set CHECKPOINT_DISABLE=1."},
    {"bazel", "Bazel and its central registry", last_review, bazel,
     "The sources of the modules, most of them on GitHub: `use: github`."},
    {"nix", "the binary cache and channels of NixOS", last_review, nix,
     "GitHub, where flakes and fetchFromGitHub download: `use: github`. Caches of others: name them."},
};

}  // namespace

std::span<const bundle> system_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
