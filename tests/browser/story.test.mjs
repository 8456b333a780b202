// The story of lesson A2, told by a browser: three commands, one process with two numbers, checks that turn green with
// their evidence, and nothing lost by a reload or by a server that is killed.
import assert from "node:assert/strict";
import { after, before, test } from "./lib/cases.mjs";
import { checkIs, launch, open, prompt, terminalShows, terminalText, typeLine } from "./lib/browser.mjs";
import { Server } from "./lib/server.mjs";

const LESSON = "/lessons/namespaces/02-pid-namespace";
let server;
let browser;
let page;
let hostPid;

before(async () => {
  server = await Server.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

test("the lesson opens, and a prompt appears", async () => {
  page = await open(browser, server.origin + LESSON);
  await prompt(page);
  await page.locator("lab-cover").waitFor({ state: "hidden" });
  await page.locator(".term-notice").waitFor({ state: "hidden" });
  assert.match(await checkIs(page, "sleep-is-pid-1", "open"), /No container called pid-test is running/);
});

test("the first command starts a container, and the checks pass by themselves", async () => {
  const printed = await typeLine(page, "docker run -d --name pid-test ubuntu sleep 3600");
  assert.match(printed, /^[0-9a-f]{64}$/m);
  const said = await checkIs(page, "sleep-is-pid-1", "passed");
  hostPid = Number(/PID (\d+) on the host/.exec(said)?.[1]);
  assert.ok(hostPid > 1, said);
  await checkIs(page, "own-pid-namespace", "passed");
  assert.equal(await page.locator('check-strip [data-check="sees-the-host"]').getAttribute("data-state"), "open");
});

test("inside, sleep is PID 1", async () => {
  const printed = await typeLine(page, "docker exec -it pid-test ps -ef");
  assert.match(printed, /^root\s+1\s+0 .*sleep 3600$/m);
});

test("on the host, the same process has another number", async () => {
  const printed = await typeLine(page, "ps aux | grep sleep");
  const line = printed.split("\n").find((line) => /sleep 3600$/.test(line) && !line.includes("grep"));
  assert.ok(line, printed);
  assert.equal(Number(line.split(/\s+/)[1]), hostPid, "the number that the check has named");
});

test("the live picture shows both numbers, as a drawing and as text", async () => {
  const drawn = page.locator(`process-tree .contained[data-key="c${hostPid}"] text.pid`);
  await drawn.first().waitFor();
  assert.deepEqual(await drawn.allTextContents(), [String(hostPid), "1"]);
  await page.locator("process-tree details.twin summary").click();
  const row = page.locator("process-tree table tr", { hasText: "pid-test" }).filter({ hasText: "sleep 3600" });
  assert.deepEqual((await row.locator("td").allTextContents()).slice(0, 3), ["pid-test", "1", String(hostPid)]);
  await page.locator("process-tree details.twin summary").click();
});

test("a check shows its evidence on a click", async () => {
  await page.locator('check-strip [data-check="sleep-is-pid-1"] button').click();
  const evidence = await page.locator(".evidence").innerText();
  assert.match(evidence, new RegExp(`${hostPid}\\s+1`));
  assert.match(evidence, new RegExp(`/proc/${hostPid}/status`));
  await page.keyboard.press("Escape");
  await page.locator(".evidence").waitFor({ state: "hidden" });
});

/** What has to be there again, whatever happened in between. */
async function everythingIsThere() {
  const text = await terminalShows(page, /docker run -d --name pid-test[\s\S]*ps aux \| grep sleep[\s\S]*[#$]\s*$/);
  assert.match(text, /sleep 3600/);
  assert.match(await checkIs(page, "sleep-is-pid-1", "passed"), new RegExp(`PID ${hostPid} on the host`));
  await page.locator(`process-tree .contained[data-key="c${hostPid}"]`).waitFor();
}

test("a reload loses nothing: scrollback, container, progress", async () => {
  await page.reload();
  await everythingIsThere();
  const printed = await typeLine(page, "docker ps --format '{{.Names}} {{.Status}}'");
  assert.match(printed, /^pid-test Up /m);
});

test("a server that is killed and started again loses nothing either", async () => {
  await typeLine(page, "mark=before-the-crash");
  await server.kill9();
  await page.locator("link-banner:not([hidden])").waitFor({ timeout: 15_000 });
  await server.up();
  await page.locator("link-banner").waitFor({ state: "hidden", timeout: 15_000 });
  await everythingIsThere();
  assert.match(await typeLine(page, "echo $mark"), /^before-the-crash$/m, "it is the same shell");
  await page.reload();
  await everythingIsThere();
  assert.match(await typeLine(page, "echo again $mark"), /^again before-the-crash$/m);
});

test("the wall that is taken down shows as a gap, and its check passes", async () => {
  await page.locator('run-block:has-text("--name see-all") .run-go').first().click();
  await checkIs(page, "sees-the-host", "passed");
  await page.locator("process-tree .wall.missing").waitFor();
  assert.match(await page.locator("process-tree .gap-name").textContent(), /no pid wall/);
});

test("a prediction is judged by the server and is there after a reload", async () => {
  const block = page.locator('choice-block[data-block="who-is-there"]');
  await block.locator("label").nth(2).click();
  await block.locator("button").click();
  await page.locator('choice-block[data-block="who-is-there"][data-answered="right"]').waitFor();
  await page.reload();
  assert.equal(await block.getAttribute("data-answered"), "right");
  assert.equal(await block.locator("input").nth(2).isChecked(), true);
  assert.equal(await block.locator("input").first().isDisabled(), true);
});

test("resetting the exercise takes the containers and keeps the shell and the passes", async () => {
  await prompt(page);
  await page.locator("lab-reset > button").click();
  await page.locator(".reset-one button").first().click();
  await page.locator("lab-reset dialog").waitFor({ state: "hidden", timeout: 30_000 });
  await checkIs(page, "sleep-is-pid-1", "kept");
  await page.locator("process-tree .container").waitFor({ state: "detached" });
  assert.match(await typeLine(page, "echo still $mark; docker ps -aq | wc -l"), /^still before-the-crash\s+0$/m);
});

test("resetting the lab gives a new one, with an empty terminal", async () => {
  await page.locator("lab-reset > button").click();
  await page.locator(".reset-one button").nth(1).click();
  await page.locator("lab-reset dialog").waitFor({ state: "hidden", timeout: 30_000 });
  await terminalShows(page, (text) => /[#$]\s*$/.test(text) && !text.includes("pid-test"));
  assert.match(await typeLine(page, "echo \"[$mark]\""), /^\[\]$/m, "it is another shell");
  await checkIs(page, "sleep-is-pid-1", "kept");
  assert.doesNotMatch(await terminalText(page), /pid-test/);
});

/** Kills the agent's processes; those that end with the first one are gone before it is their turn. */
function killAgent() {
  const agents = server.processes().filter(({ command }) => /isolab-agent serve/.test(command));
  assert.ok(agents.length > 0, "there is an agent");
  for (const { pid } of agents) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }
}

test("an agent that is killed takes its labs along: a new one is opened, the page says so, and the passes stay", async () => {
  await typeLine(page, "mark=in-the-lost-lab");
  killAgent();
  await page.locator(".term-notice", { hasText: "This is a new lab" }).waitFor({ timeout: 30_000 });
  assert.match(await typeLine(page, 'echo "[$mark]"'), /^\[\]$/m);
  await checkIs(page, "sleep-is-pid-1", "kept");
});

test("nothing was refused or broken on the way", () => {
  // While the server is dead its address refuses connections; the browser says so by itself.
  page.assertQuiet(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|WebSocket connection to/);
});
