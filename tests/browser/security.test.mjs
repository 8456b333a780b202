// The browser as an attacker's tool: a page of another site must not reach a terminal, and nothing inline may run.
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { after, before, test } from "./lib/cases.mjs";
import { launch, open, prompt, terminalShows } from "./lib/browser.mjs";
import { Server } from "./lib/server.mjs";

const LESSON = "namespaces/02-pid-namespace";
let server;
let browser;
let stranger;

before(async () => {
  server = await Server.start();
  browser = await launch();
  stranger = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>another site</title>"));
  await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  await browser?.close();
  stranger?.close();
  await server?.remove();
});

/** Opens the terminal's WebSocket from the page and says how that went. */
const attach = (page, url) =>
  page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, "lab.term.v1");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      }),
    url,
  );

test("a page of another site cannot open a terminal, and one of ours can", async () => {
  const url = `ws://127.0.0.1:${server.port}/api/lessons/${LESSON}/terminals/host`;
  const ours = await open(browser, `${server.origin}/lessons/${LESSON}`);
  await prompt(ours);
  assert.equal(await attach(ours, url), "open");
  const theirs = await open(browser, `http://127.0.0.1:${stranger.address().port}/`);
  assert.equal(await attach(theirs, url), "refused");
  const named = await open(browser, `http://localhost:${server.port}/`);
  assert.equal(await attach(named, url), "refused", "another name of the same address is another origin");
  for (const page of [ours, theirs, named]) await page.context().close();
});

test("a page of another site cannot post, even without a preflight", async () => {
  const page = await open(browser, `http://127.0.0.1:${stranger.address().port}/`);
  const answer = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/reset")),
    page.evaluate((url) => {
      const form = Object.assign(document.createElement("form"), { method: "post", action: url, enctype: "text/plain" });
      document.body.append(form);
      form.submit();
    }, `${server.origin}/api/lessons/${LESSON}/reset`),
  ]).then(([response]) => response);
  assert.equal(answer.status(), 403);
  await page.context().close();
});

test("the server answers to its own names only", async () => {
  const status = (host) =>
    new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port: server.port, path: "/", headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on("error", reject).end();
    });
  assert.equal(await status(`127.0.0.1:${server.port}`), 200);
  assert.equal(await status(`rebound.example:${server.port}`), 421);
});

test("nothing inline runs: the policy refuses what a lab might smuggle into the page", async () => {
  const page = await open(browser, `${server.origin}/lessons/${LESSON}`);
  await prompt(page);
  const ran = await page.evaluate(async () => {
    const place = document.createElement("div");
    place.innerHTML = '<img src="x:" onerror="globalThis.smuggled = 1"><b style="color: red">x</b>';
    document.body.append(place);
    const script = document.createElement("script");
    script.textContent = "globalThis.smuggled = 2";
    document.body.append(script);
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { smuggled: globalThis.smuggled ?? null, colour: getComputedStyle(place.querySelector("b")).color };
  });
  assert.equal(ran.smuggled, null);
  assert.notEqual(ran.colour, "rgb(255, 0, 0)");
  const refused = page.complaints.filter((text) => /content security policy: (script|style|img)-src/.test(text));
  assert.ok(refused.length >= 3, page.complaints.join("\n"));
  await page.context().close();
});

test("markup in the names that a learner chooses is text, everywhere", async () => {
  const page = await open(browser, `${server.origin}/lessons/${LESSON}`);
  await prompt(page);
  await page.locator("lab-terminal textarea").focus();
  await page.keyboard.type("hostname '<img src=x onerror=alert(1)>'; bash -c 'exec -a \"<b id=smuggled>\" sleep 600' &");
  await page.keyboard.press("Enter");
  await page.locator("process-tree svg text", { hasText: "<b id=smuggled>" }).first().waitFor();
  assert.equal(await page.locator("#smuggled").count(), 0);
  assert.equal(await page.locator('process-tree img, process-tree [onerror]').count(), 0);
  await terminalShows(page, /smuggled/);
  page.assertQuiet();
  await page.context().close();
});
