// Chromium, and pages that fail a test when they complain: console errors, exceptions, refused content, failed requests.
import assert from "node:assert/strict";
import { chromium as playwright } from "playwright-core";
import { chromium } from "./needs.mjs";

export async function launch() {
  return playwright.launch({
    executablePath: chromium(),
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
}

/** A page in a context of its own, whose complaints are collected. */
export async function open(browser, url, { width = 1280, height = 800, scheme = "light", ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
  await page.addInitScript(() => {
    window.addEventListener("securitypolicyviolation", (event) => {
      console.error(`content security policy: ${event.violatedDirective} refused ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  await page.goto(url);
  return Object.assign(page, {
    complaints,
    /** Fails if the page has complained; `expected` are patterns of complaints that the test caused on purpose. */
    assertQuiet(...expected) {
      const left = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
      assert.deepEqual(left, [], "the page has complained");
    },
  });
}

/** Everything that a terminal holds, scrollback included, as lines. */
export function terminalText(page, name = "host") {
  return page.evaluate((name) => {
    const buffer = document.querySelector(`lab-terminal[name="${name}"]`)?.terminal?.buffer.active;
    if (!buffer) return "";
    let text = "";
    for (let at = 0; at < buffer.length; at += 1) {
      const line = buffer.getLine(at);
      text += (at > 0 && !line.isWrapped ? "\n" : "") + line.translateToString(true);
    }
    return text.trimEnd();
  }, name);
}

const PROMPT = /root@[\w-]+:[^\n]*[#$]\s*$/;

/** Waits until the terminal's text satisfies `test`, and returns it. */
export async function terminalShows(page, test, { name = "host", ms = 60_000 } = {}) {
  const holds = typeof test === "function" ? test : (text) => test.test(text);
  const until = Date.now() + ms;
  for (;;) {
    const text = await terminalText(page, name);
    if (holds(text)) return text;
    if (Date.now() > until) assert.fail(`the terminal does not show ${test} but:\n${text}`);
    await page.waitForTimeout(50);
  }
}

/** Waits for a prompt to type at. */
export const prompt = (page, options) => terminalShows(page, PROMPT, options);

/** Types a line as a person does, waits for the next prompt, and returns what was printed between. */
export async function typeLine(page, line, options = {}) {
  const { name = "host" } = options;
  await prompt(page, options);
  const terminal = page.locator(`lab-terminal[name="${name}"]`);
  // A mark in the terminal's own memory: it stays with its line however much scrolls away above.
  await terminal.evaluate((element) => (element.mark = element.terminal.registerMarker(0)));
  await terminal.locator("textarea").focus();
  await page.keyboard.type(line);
  await page.keyboard.press("Enter");
  const until = Date.now() + (options.ms ?? 30_000);
  for (;;) {
    const printed = await terminal.evaluate((element) => {
      const buffer = element.terminal.buffer.active;
      // Where the mark itself has scrolled out of memory, all that is left came after it.
      const first = element.mark.isDisposed ? 0 : element.mark.line;
      let text = "";
      for (let at = first; at <= buffer.baseY + buffer.cursorY; at += 1) {
        const line = buffer.getLine(at);
        text += (at > first && !line.isWrapped ? "\n" : "") + line.translateToString(true);
      }
      return { text, typed: element.mark.isDisposed ? "" : text.split("\n")[0] };
    });
    const rest = printed.text.slice(printed.typed.length);
    if (PROMPT.test(rest)) return rest.replace(PROMPT, "").trim();
    if (Date.now() > until) assert.fail(`no prompt came after ${line}:\n${printed.text}`);
    await page.waitForTimeout(50);
  }
}

/** Empties the screen and the scrollback. */
export async function clear(page, name = "host") {
  await prompt(page, { name });
  await page.locator(`lab-terminal[name="${name}"] textarea`).focus();
  await page.keyboard.type("clear");
  await page.keyboard.press("Enter");
  await terminalShows(page, /^\s*root@[^\n]*[#$]\s*$/, { name });
}

/** Waits for a check to reach a state, and returns what the strip says of it. */
export async function checkIs(page, check, state, ms = 20_000) {
  const item = page.locator(`check-strip [data-check="${check}"][data-state="${state}"]`);
  await item.waitFor({ timeout: ms });
  return item.locator(".check-said").textContent();
}
