// A lesson in a virtual machine, told by a browser: the terminal is in the machine, checks pass with the kernel's evidence,
// and a reset gives a fresh machine.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, testInMachine as test } from "./lib/cases.mjs";
import { checkIs, launch, open, prompt, terminalShows, typeLine } from "./lib/browser.mjs";
import { Server } from "./lib/server.mjs";
import { whyNoMachine } from "./lib/needs.mjs";

const LESSON = "/lessons/walls/01-limits-and-profiles";
/** The first machine of a state directory is booted, and not restored. */
const FIRST_MACHINE_MS_MAX = 150_000;
/** A container in an emulated machine takes its time, and so does one that runs out of memory. */
const SLOW_MS_MAX = 90_000;
let server;
let browser;
let page;
let bootId;

before(async () => {
  if (whyNoMachine()) return;
  server = await Server.start({ machines: true });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

test("the lesson says where its lab runs and why, and its terminal is in a machine", async () => {
  page = await open(browser, server.origin + LESSON);
  const cover = page.locator("lab-cover .why");
  await cover.waitFor({ timeout: FIRST_MACHINE_MS_MAX });
  assert.match(await cover.innerText(), /VM lab\. This lesson needs .*vm.* which a sandbox lab does not have\./);
  await prompt(page, { ms: FIRST_MACHINE_MS_MAX });
  await page.locator("lab-cover").waitFor({ state: "hidden" });
  const status = page.locator("lab-status");
  assert.match(await status.innerText(), /VM lab/);
  assert.match((await status.getAttribute("aria-description")) ?? "", /kernel of its own/);
  const release = (await typeLine(page, "uname -r", { ms: SLOW_MS_MAX })).trim();
  assert.notEqual(release, readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
  assert.match(await typeLine(page, "head -1 /proc/self/uid_map"), /0\s+0\s+4294967295/);
  bootId = (await typeLine(page, "cat /proc/sys/kernel/random/boot_id")).trim();
});

test("a container that takes more than its limit is killed, and the check shows the kernel's count", async () => {
  await checkIs(page, "killed-by-its-limit", "open", SLOW_MS_MAX);
  const printed = await typeLine(page, "docker run --rm --memory 64m ubuntu tail /dev/zero; echo status $?", { ms: SLOW_MS_MAX });
  assert.match(printed, /status 137/);
  await checkIs(page, "killed-by-its-limit", "passed", SLOW_MS_MAX);
  await page.locator('check-strip [data-check="killed-by-its-limit"] button').click();
  assert.match(await page.locator(".evidence").innerText(), /oom_kill [1-9][\s\S]*memory\.events/);
  await page.keyboard.press("Escape");
});

test("what a profile refuses is told in the kernel's own words", async () => {
  const profile = "profile vault flags=(attach_disconnected,mediate_deleted) { file, capability, network, deny /data/** w, }";
  await typeLine(page, `echo '${profile}' | apparmor_parser --replace && echo loaded`, { ms: SLOW_MS_MAX });
  const run = "docker run -d --name vault --security-opt apparmor=vault ubuntu sh -c 'mkdir -p /data; sleep 3600'";
  await typeLine(page, run, { ms: SLOW_MS_MAX });
  await checkIs(page, "confined", "passed", SLOW_MS_MAX);
  const printed = await typeLine(page, "docker exec vault sh -c 'echo x > /data/x'", { ms: SLOW_MS_MAX });
  assert.match(printed, /Permission denied/);
  await checkIs(page, "write-refused", "passed", SLOW_MS_MAX);
  await page.locator('check-strip [data-check="write-refused"] button').click();
  assert.match(await page.locator(".evidence").innerText(), /vault/);
  await page.keyboard.press("Escape");
});

test("resetting the lab gives a fresh machine", async () => {
  await typeLine(page, "touch /root/mine");
  await page.locator("lab-reset > button").click();
  await page.locator(".reset-one button").nth(1).click();
  await page.locator("lab-reset dialog").waitFor({ state: "hidden", timeout: SLOW_MS_MAX });
  await terminalShows(page, (text) => /[#$]\s*$/.test(text) && !text.includes("/root/mine"), { ms: SLOW_MS_MAX });
  const printed = await typeLine(page, "ls /root/mine; cat /proc/sys/kernel/random/boot_id", { ms: SLOW_MS_MAX });
  assert.match(printed, /No such file/);
  assert.ok(!printed.includes(bootId), "another boot of another machine");
});
