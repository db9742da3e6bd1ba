// Drives every page of a running proxy, as tests/e2e/test_dashboard.py asks on standard input (one JSON object), and tells
// on standard output what it saw. Nothing here judges: the test does.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { chromium } from "playwright-core";

const want = JSON.parse(readFileSync(0, "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const seen = { complaints: [], axe: {}, requests: [], texts: {}, facts: {} };

const browser = await chromium.launch({ executablePath: want.chromium, args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server"] });
// axe is run in an isolated world of its own: the page's policy would, and should, refuse it.
const context = await browser.newContext({ viewport: want.viewport, colorScheme: want.scheme, isMobile: want.phone, hasTouch: want.phone, reducedMotion: "reduce" });
context.setDefaultTimeout(20_000);
const page = await context.newPage();
const devtools = await context.newCDPSession(page);
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text()); });
page.on("pageerror", (error) => seen.complaints.push(String(error)));
page.on("dialog", (dialog) => { seen.complaints.push(`dialog ${dialog.message()}`); void dialog.dismiss(); });
page.on("request", (request) => seen.requests.push(request.url()));

async function check(name) {
  const { frameTree } = await devtools.send("Page.getFrameTree");
  const { executionContextId } = await devtools.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, grantUniveralAccess: true });
  const run = async (expression) => {
    const done = await devtools.send("Runtime.evaluate", { expression, contextId: executionContextId, awaitPromise: true, returnByValue: true });
    if (done.exceptionDetails) throw new Error(`axe: ${done.exceptionDetails.exception?.description ?? done.exceptionDetails.text}`);
    return done.result.value;
  };
  await run(axe);
  seen.axe[name] = await run(`axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 200)).join(" | ")))`);
  seen.texts[name] = await page.locator("body").innerText();
  seen.facts[`${name} overflows`] = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
  seen.facts[`${name} markup`] = await page.locator("#app script, #app img:not([src^='/assets/']), #app iframe, #app [onerror]").count();
  seen.facts[`${name} links`] = await page.locator("#app a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  if (want.shots) await page.screenshot({ path: path.join(want.shots, `${name}.png`), fullPage: false, animations: "disabled" });
}

async function go(hash, ready) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await page.locator(ready).first().waitFor();
}

const steps = {
  async login() {
    await page.goto(`${want.url}/`);
    await page.locator("#token").waitFor();
    await check(`${want.name}-login`);
    await page.fill("#token", "wrong-token");
    await page.click("button.primary");
    await page.locator(".problem").waitFor();
    seen.complaints = seen.complaints.filter((text) => !text.includes("401"));  // the browser tells of each refusal
    seen.facts["wrong token"] = await page.locator(".problem").innerText();
    await page.goto(`${want.url}/#/login/${want.token}`);
    await page.reload();
    await page.locator("nav").waitFor();
    seen.facts["address after login"] = page.url();
    seen.facts.cookies = (await context.cookies(`${want.url}/v1/`)).map(({ name, httpOnly, sameSite, path }) => ({ name, httpOnly, sameSite, path }));
    seen.facts["cookie of script"] = await page.evaluate(() => document.cookie);
  },
  async overview() {
    await go("#/overview", ".tile");
    await page.locator(".uplot canvas").waitFor();
    await check(`${want.name}-overview`);
  },
  async live() {
    await go("#/live", "table.live tbody tr");
    await page.locator("table.live tbody tr", { hasText: want.denied }).first().waitFor();
    await page.click("[data-pause]");
    await page.locator("td.time button").first().click();
    await page.locator(".details").waitFor();
    await check(`${want.name}-live`);
    seen.facts["paused"] = await page.locator(".state").innerText();
    await page.click("[data-pause]");
    await page.keyboard.press("Escape");
    if (!want.phone) {
      await page.locator("body").press("/");
      await page.keyboard.type("xn--");
      await page.waitForFunction(() => location.hash.includes("q=xn--"));
      // Counted in the same look: the next event may change the table.
      const filtered = await page.waitForFunction(() => {
        const rows = [...document.querySelectorAll("table.live tbody tr")];
        return rows.length > 0 && rows.every((row) => row.textContent.includes("xn--")) && rows.length;
      });
      seen.facts["filtered"] = await filtered.jsonValue();
      await page.fill("[data-search]", "");
      await page.waitForFunction(() => !location.hash.includes("q="));
    }
  },
  async policy() {
    await go(`#/policy?phase=agent&try=${encodeURIComponent(want.tried)}`, "table.rules tbody tr");
    await page.locator(".answer").waitFor();
    await page.locator("table.rules button").first().click();
    await page.locator(".details").waitFor();
    await check(`${want.name}-policy`);
    await page.locator("[data-search]").fill("nothing-has-this");
    await page.locator(".empty").waitFor();
    seen.texts["policy-empty"] = await page.locator(".empty").innerText();
  },
  async jobs() {
    await go("#/jobs", ".panel");
    await page.locator("table").first().waitFor();
    await check(`${want.name}-jobs`);
  },
  async blocked() {
    await go("#/blocked", "table.blocked tbody tr");
    await page.locator("table.blocked button").first().click();
    await page.locator(".details").waitFor();
    await check(`${want.name}-blocked`);
  },
  async keys() {
    for (const [key, title] of [["p", "Policy"], ["l", "Live"], ["j", "Jobs"], ["o", "Overview"]]) {
      await page.keyboard.press("g");
      await page.keyboard.press(key);
      await page.locator("main h1", { hasText: title }).waitFor();
    }
    await page.keyboard.press("?");
    await page.locator("dialog[open]").waitFor();
    await check(`${want.name}-keys`);
    await page.keyboard.press("Escape");
    seen.facts["focus"] = await page.evaluate(() => { document.activeElement?.blur(); return true; });
    await page.keyboard.press("Tab");
    seen.facts["first tab"] = await page.evaluate(() => document.activeElement?.textContent);
  },
  async reload() {
    await go("#/overview", ".actions button");
    await page.click(".actions button");
    await page.locator(".actions [role=status]", { hasText: "In force" }).waitFor();
  },
  async logout() {
    await page.getByText("Log out").click();
    await page.locator("#token").waitFor();
    seen.complaints = seen.complaints.filter((text) => !text.includes("401"));  // of what was under way
    seen.facts["key after logout"] = await page.evaluate(() => localStorage.getItem("exeat.session-key"));
  },
};

let failed;
for (const step of want.steps) {
  try {
    await steps[step]();
  } catch (error) {
    failed = `${step}: ${error.message}`;
    seen.texts.failed = await page.locator("body").innerText().catch(() => "");
    if (want.shots) await page.screenshot({ path: path.join(want.shots, "failed.png") }).catch(() => undefined);
    break;
  }
}
await browser.close();
console.log(JSON.stringify({ ...seen, failed }));
