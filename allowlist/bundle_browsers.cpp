// Bundles of tools that drive browsers: where they download them from.
#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

constexpr bundle_host playwright[]{
    host("cdn.playwright.dev", redirects, "browsers, and where `playwright install` starts"),
    host("playwright.download.prss.microsoft.com", none, "browsers, where that sends clients on to"),
};

constexpr bundle_host chrome_for_testing[]{
    host("googlechromelabs.github.io", none, "the list of versions"),
    host("chrome-for-testing-public.storage.googleapis.com", none, "the browsers, in their own bucket"),
};

constexpr bundle_host cypress[]{
    host("download.cypress.io", redirects, "which archive to take"),
    host("cdn.cypress.io", none, "the archives"),
};

constexpr bundle table[]{
    {"playwright", "browsers for Playwright", last_review, playwright,
     "The packages that `--with-deps` installs: the bundle of the system."},
    {"chrome-for-testing", "Chrome for Testing and its drivers, for Puppeteer and Selenium", last_review,
     chrome_for_testing,
     "The storage host of all of Google's customers, which clients ask unless they are told the bucket's own "
     "name: PUPPETEER_CHROME_DOWNLOAD_BASE_URL=https://chrome-for-testing-public.storage.googleapis.com."},
    {"cypress", "Cypress itself", last_review, cypress,
     "Recording to Cypress Cloud, which is an upload: name api.cypress.io where it is wanted."},
};

}  // namespace

std::span<const bundle> browser_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
