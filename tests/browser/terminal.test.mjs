// The terminal as a person uses it: copying and pasting, many shells, floods, reloads, full-screen programs.
import assert from "node:assert/strict";
import { after, before, test } from "./lib/cases.mjs";
import { clear, launch, open, prompt, terminalShows, terminalText, typeLine } from "./lib/browser.mjs";
import { Server } from "./lib/server.mjs";

const LESSON = "/lessons/namespaces/02-pid-namespace";
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

test("copy and paste in the terminal: Ctrl+C copies a selection, else interrupts; Ctrl+V pastes", async () => {
  const page = await open(browser, server.origin + LESSON);
  await prompt(page);
  await page.locator("lab-terminal textarea").focus();
  await page.evaluate(() => navigator.clipboard.writeText("echo pasted-$((6*7))"));
  await page.keyboard.press("Control+V");
  await terminalShows(page, /echo pasted-\$\(\(6\*7\)\)$/);
  await page.keyboard.press("Enter");
  await terminalShows(page, /^pasted-42$/m);
  await page.keyboard.type("sleep 600");
  await page.keyboard.press("Enter");
  await page.waitForTimeout(300);
  await page.keyboard.press("Control+C");
  await terminalShows(page, /\^C[\s\S]*[#$]\s*$/);
  await page.evaluate(() => {
    const { terminal } = document.querySelector("lab-terminal");
    const lines = Array.from({ length: terminal.buffer.active.length }, (_, at) => terminal.buffer.active.getLine(at).translateToString(true));
    terminal.select(0, lines.lastIndexOf("pasted-42"), 9);
  });
  await page.keyboard.press("Control+C");
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) === "pasted-42");
  page.assertQuiet();
  await page.context().close();
});

test("a second terminal is another shell on the same host, and is there after a reload", async () => {
  const page = await open(browser, server.origin + LESSON);
  await prompt(page);
  await page.locator(".term-more").click();
  await prompt(page, { name: "host-2" });
  await page.keyboard.type("echo I am $((1+1))");
  await page.keyboard.press("Enter");
  await terminalShows(page, /^I am 2$/m, { name: "host-2" });
  await page.reload();
  await page.getByRole("tab", { name: "host 2" }).click();
  await terminalShows(page, /^I am 2$/m, { name: "host-2" });
  page.assertQuiet();
  await page.context().close();
});

test("what the terminal is asked while it replays stays unanswered: no garbage is typed into the shell", async () => {
  const page = await open(browser, server.origin + LESSON);
  const printed = await typeLine(page, "printf '\\e[c'; read -rsd c -t 5 answer; echo answered ${#answer}");
  assert.match(printed, /answered [1-9]/, "a living program is answered");
  const before = await terminalText(page);
  await page.reload();
  await prompt(page);
  await page.waitForTimeout(500);
  assert.equal(await terminalText(page), before, "the replay has typed nothing");
  assert.match(await typeLine(page, "printf '\\e[c'; read -rsd c -t 5 answer; echo answered ${#answer}"), /answered [1-9]/);
  page.assertQuiet();
  await page.context().close();
});

test("a flood of output is shown to its end, and the page goes on", async () => {
  const page = await open(browser, server.origin + LESSON);
  const text = await typeLine(page, "seq 400000; echo the end", { ms: 60_000 }).then(() => terminalText(page));
  assert.match(text, /^399999\n400000\nthe end$/m);
  assert.ok(text.split("\n").length < 6000, "scrollback is bounded");
  assert.match(await typeLine(page, "echo alive"), /^alive$/m);
  await page.reload();
  assert.match(await typeLine(page, "echo alive after the reload"), /^alive after the reload$/m);
  page.assertQuiet();
  await page.context().close();
});

test("a paste of several lines waits for Enter", async () => {
  const page = await open(browser, server.origin + LESSON);
  await clear(page);
  await page.evaluate(() => navigator.clipboard.writeText("echo one\necho two"));
  await page.locator("lab-terminal textarea").focus();
  await page.keyboard.press("Control+Shift+V");
  await terminalShows(page, /echo two$/);
  await page.waitForTimeout(300);
  assert.doesNotMatch(await terminalText(page), /^one$/m, "nothing has run yet");
  await page.keyboard.press("Enter");
  await terminalShows(page, /^one\ntwo$/m);
  page.assertQuiet();
  await page.context().close();
});

test("a paste larger than a frame arrives whole", async () => {
  const page = await open(browser, server.origin + LESSON);
  const paste = Array.from({ length: 4000 }, (_, at) => `line ${at} of a long paste`).join("\n");
  await clear(page);
  await page.keyboard.type("cat > /tmp/paste");
  await page.keyboard.press("Enter");
  // The shell marks pastes for itself; to cat, which it has begun by then, the marks would be text.
  await page.waitForFunction(() => !document.querySelector("lab-terminal").terminal.modes.bracketedPasteMode);
  await page.evaluate((text) => navigator.clipboard.writeText(text), paste);
  await page.keyboard.press("Control+V");
  // Not its end: where a terminal's output was full, the kernel keeps the rest of an echo until the next key.
  await terminalShows(page, /line 0 of a long paste/);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Control+D");
  await prompt(page);
  await clear(page);
  assert.match(await typeLine(page, "wc /tmp/paste"), new RegExp(`^\\s*4000\\s+24000\\s+${paste.length + 1} `, "m"));
  page.assertQuiet();
  await page.context().close();
});

test("Escape goes to a full-screen program, a command is not typed into it, and three Escapes leave", async () => {
  const page = await open(browser, server.origin + LESSON);
  await clear(page);
  await page.keyboard.type("vi /tmp/note");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("lab-terminal").terminal.buffer.active.type === "alternate");
  await page.keyboard.type("ihello");
  await page.keyboard.press("Escape");
  await page.waitForTimeout(600);
  await page.locator('run-block:has-text("--name pid-test") .run-go').first().click();
  await page.getByText("A full-screen program runs in this terminal").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA", "two are not enough here");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-host");
  await page.keyboard.press("Enter");
  await page.keyboard.type(":wq");
  await page.keyboard.press("Enter");
  assert.match(await typeLine(page, "cat /tmp/note"), /^hello$/m);
  page.assertQuiet();
  await page.context().close();
});

test("an ended shell says so, and Enter starts another", async () => {
  const page = await open(browser, server.origin + LESSON);
  await clear(page);
  await typeLine(page, "gone=yes");
  await page.keyboard.type("exit 7");
  await page.keyboard.press("Enter");
  await page.getByText("The shell has ended with status 7").waitFor();
  await page.keyboard.press("Enter");
  await terminalShows(page, (text) => (text.match(/root@/g)?.length ?? 0) >= 3 && /[#$]\s*$/.test(text));
  assert.match(await typeLine(page, 'echo "[$gone]"'), /^\[\]$/m);
  page.assertQuiet();
  await page.context().close();
});

test("the shell knows the size of the terminal, and the page says it when it changes", async () => {
  const page = await open(browser, server.origin + LESSON);
  await prompt(page);
  const size = () => page.evaluate(() => [document.querySelector("lab-terminal").terminal.rows, document.querySelector("lab-terminal").terminal.cols].join(" "));
  assert.match(await typeLine(page, "stty size"), new RegExp(`^${await size()}$`, "m"));
  const before = await size();
  await page.setViewportSize({ width: 1500, height: 1000 });
  await page.locator(".term-size[data-shown]").waitFor();
  await page.waitForTimeout(300);
  assert.notEqual(await size(), before);
  assert.match(await typeLine(page, "stty size"), new RegExp(`^${await size()}$`, "m"));
  page.assertQuiet();
  await page.context().close();
});

test("colours of every kind are drawn, within the content security policy", async () => {
  const page = await open(browser, server.origin + LESSON);
  await clear(page);
  await typeLine(page, "printf '\\e[31mred\\e[0m \\e[38;5;214mindexed\\e[0m \\e[38;2;255;200;0mtrue\\e[0m\\n'");
  const drawn = await page.waitForFunction(() => {
    const spans = [...document.querySelectorAll("lab-terminal .xterm-rows span")];
    const found = ["red", "indexed", "true"].map((text) => spans.find((span) => span.textContent.trim() === text));
    return found.every(Boolean) && found.map((span) => getComputedStyle(span).color);
  });
  const colours = await drawn.jsonValue();
  assert.equal(new Set(colours).size, 3, colours.join());
  assert.equal(colours[2], "rgb(255, 200, 0)");
  page.assertQuiet();
  await page.context().close();
});

test("with a screen reader, the terminal's lines are ordinary text", async () => {
  const page = await open(browser, server.origin + LESSON);
  await page.locator("settings-dialog > button").click();
  await page.getByText("Screen reader in the terminal").click();
  await page.locator("settings-dialog .foot button").click();
  await typeLine(page, "echo for-the-ear");
  const line = page.locator("lab-terminal .xterm-accessibility [role=listitem]", { hasText: /^for-the-ear/ });
  await line.first().waitFor({ state: "attached" });
  page.assertQuiet();
  await page.context().close();
});

test("an answer that is late does not undo newer news: the shell stays connected", async () => {
  const page = await open(browser, "about:blank");
  let answered;
  const late = new Promise((resolve) => (answered = resolve));
  await page.route("**/lab", async (route) => {
    await route.fetch();
    await page.locator("lab-cover").waitFor({ state: "hidden" });
    // What the server could have said before the lab was ready.
    await route.fulfill({ json: { lab: null, notice: "Looking for your lab", trying: true } });
    answered();
  });
  await page.goto(server.origin + LESSON);
  await late;
  await page.waitForTimeout(300);
  assert.equal(await page.locator("lab-cover").isVisible(), false);
  assert.match(await typeLine(page, "echo connected"), /^connected$/m);
  page.assertQuiet();
  await page.context().close();
});
