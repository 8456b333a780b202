// Every page, on a phone, a laptop and a projector, in light and dark: accessible by axe's rules, inside its width,
// without a complaint; and usable by keyboard alone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "./lib/cases.mjs";
import { checkIs, launch, open, prompt, terminalShows } from "./lib/browser.mjs";
import { Server } from "./lib/server.mjs";

const LESSON = "/lessons/namespaces/02-pid-namespace";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SIZES = [[390, 844], [1280, 800], [1920, 1080]];
let server;
let browser;

before(async () => {
  server = await Server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

/** Checks what is to be seen now; `rules` turns single rules off, where a page is looked at in parts. */
async function assertAccessible(page, what, rules = {}) {
  // Evaluated by the debugger, which the page's content security policy does not bind.
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate((options) => globalThis.axe.run(document, options), { runOnly: TAGS, rules });
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
  assert.deepEqual(told, [], what);
  assert.ok(passes.length > 10, "axe has looked at something");
}

async function assertInsideWidth(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${what}: the page is ${over} pixels wider than the screen`);
}

for (const scheme of ["light", "dark"]) {
  for (const [width, height] of SIZES) {
    describe(`${width} pixels, ${scheme}`, () => {
      test("home", async () => {
        const page = await open(browser, `${server.origin}/`, { width, height, scheme });
        await page.getByRole("heading", { name: "Beginner" }).waitFor();
        await assertAccessible(page, "home");
        await assertInsideWidth(page, "home");
        page.assertQuiet();
        await page.context().close();
      });

      test("a page that is not there", async () => {
        const page = await open(browser, `${server.origin}/lessons/namespaces/99-none`, { width, height, scheme });
        await page.getByRole("link", { name: "To the course" }).waitFor();
        await assertAccessible(page, "error");
        page.assertQuiet(/404/);
        await page.context().close();
      });

      test("lesson, with each of its panes and dialogs", async () => {
        const page = await open(browser, server.origin + LESSON, { width, height, scheme });
        await prompt(page);
        if (width >= 760) await page.locator("process-tree svg").waitFor();
        await assertAccessible(page, "lesson");
        await assertInsideWidth(page, "lesson");
        for (const pane of width < 760 ? ["terminal", "picture", "text"] : []) {
          await page.locator(`pane-tabs [data-pane="${pane}"]`).click();
          if (pane === "picture") await page.locator("process-tree svg").waitFor();
          // The title is in the text: beside the other panes it is out of sight.
          await assertAccessible(page, `lesson, ${pane}`, { "page-has-heading-one": { enabled: pane === "text" } });
          assert.ok(await page.locator("check-strip .check").first().isVisible(), "the checks stay in sight");
        }
        await page.locator("check-strip .check button").first().click();
        await page.locator(".evidence").waitFor();
        await assertAccessible(page, "lesson, evidence");
        await page.locator("settings-dialog > button").click();
        await assertAccessible(page, "settings");
        await page.locator("settings-dialog .foot button").click();
        await page.locator("lab-reset > button").click();
        await assertAccessible(page, "reset");
        page.assertQuiet();
        await page.context().close();
      });
    });
  }
}

/** What has the focus, told by its name. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return `${element?.tagName.toLowerCase()} ${element?.getAttribute("aria-label") ?? element?.textContent?.trim().slice(0, 60) ?? ""}`;
  });

/** Presses Tab until `wanted` matches what has the focus. */
async function tabTo(page, wanted, presses = 80) {
  for (let i = 0; i < presses; i += 1) {
    await page.keyboard.press("Tab");
    const now = await focused(page);
    if (wanted.test(now)) return now;
  }
  return assert.fail(`the Tab key does not lead to ${wanted}`);
}

test("a lesson by keyboard alone: run a command, work in the terminal, leave it, read the evidence", async () => {
  const page = await open(browser, server.origin + LESSON);
  await prompt(page);
  await page.locator("body").press("Tab");
  assert.match(await focused(page), /^a Skip to the content/);
  await tabTo(page, /^button Run in terminal host: docker run -d --name pid-test/);
  await page.keyboard.press("Enter");
  await checkIs(page, "sleep-is-pid-1", "passed");
  assert.match(await focused(page), /^textarea Terminal host\. Press Escape twice to leave/);
  await terminalShows(page, /[0-9a-f]{64}[\s\S]*[#$]\s*$/);
  await page.keyboard.type("echo typed-$((40+2))");
  await page.keyboard.press("Enter");
  await terminalShows(page, /^typed-42$/m);
  // Tab belongs to the shell while one is in it.
  await page.keyboard.press("Tab");
  assert.match(await focused(page), /^textarea/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  assert.match(await focused(page), /^button host/, "Escape twice leaves to the terminal's tab");
  await page.keyboard.press("Enter");
  assert.match(await focused(page), /^textarea/, "Enter goes in again");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await tabTo(page, /^button .*sleep is PID 1 inside/);
  await page.locator(".evidence").waitFor();
  assert.match(await page.locator(".evidence").innerText(), /\/proc\/\d+\/status/);
  await page.keyboard.press("Escape");
  await page.locator(".evidence").waitFor({ state: "hidden" });
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("t");
  assert.match(await focused(page), /^textarea Terminal host/);
  page.assertQuiet();
  await page.context().close();
});

test("the divider moves by arrow keys, and remembers", async () => {
  const page = await open(browser, server.origin + LESSON);
  // It has a value once the page's scripts have taken it over.
  const divider = page.locator('pane-divider[split="columns"][aria-valuenow]');
  await divider.waitFor();
  const start = Number(await divider.getAttribute("aria-valuenow"));
  await divider.focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.equal(Number(await divider.getAttribute("aria-valuenow")), start - 4);
  await page.reload();
  await divider.waitFor();
  assert.equal(Number(await divider.getAttribute("aria-valuenow")), start - 4);
  await page.context().close();
});

test("the theme and the text size are chosen once, and kept", async () => {
  const page = await open(browser, `${server.origin}/`);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.locator("settings-dialog > button").click();
  await page.getByText("Dark", { exact: true }).click();
  await page.getByText("Huge", { exact: true }).click();
  assert.notEqual(await background(), light);
  await page.reload();
  assert.notEqual(await background(), light);
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).fontSize), "21px");
  page.assertQuiet();
  await page.context().close();
});

test("without scripts the lesson can be read, and its questions answered", async () => {
  const page = await open(browser, server.origin + LESSON, { javaScriptEnabled: false });
  const text = await page.locator("article").innerText();
  assert.match(text, /docker run -d --name pid-test ubuntu sleep 3600/);
  assert.match(await page.locator(".terminals").innerText(), /needs JavaScript/);
  const block = page.locator('choice-block[data-block="regicide"]');
  await block.locator("input").nth(1).check();
  await block.locator("button").click();
  await page.locator('choice-block[data-block="regicide"][data-answered="right"]').waitFor();
  assert.match(await block.innerText(), /The kernel drops it/);
  await page.context().close();
});
