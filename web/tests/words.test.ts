import assert from "node:assert/strict";
import { test } from "node:test";
import type { Lab } from "../src/generated/Lab.ts";
import type { PassView } from "../src/generated/PassView.ts";
import type { Verdict } from "../src/generated/Verdict.ts";
import { shown } from "../src/lesson/check-state.ts";
import { inWords, statusLine, tookWords } from "../src/lesson/lab-state.ts";
import { escapeCounter } from "../src/term/keys.ts";
import { nextName, tabLabel, tabNames, TERMINALS_MAX } from "../src/term/tab-names.ts";

const verdict = (state: Verdict["state"]): Verdict => ({ check: "a", state, message: "seen", evidence: [] });
const pass: PassView = { check: "a", passed_at_ms: 0, message: "It held.", evidence: [] };

test("a pass is never taken back by a later state, and never invented", () => {
  assert.equal(shown(verdict("open"), undefined).state, "open");
  assert.equal(shown(verdict("passed"), undefined).state, "passed");
  assert.equal(shown(verdict("open"), pass).state, "kept");
  assert.equal(shown(verdict("broken"), pass).state, "kept");
  assert.equal(shown(undefined, undefined).state, "waiting");
  assert.match(shown(verdict("broken"), undefined).message, /not yours/);
});

test("the header says what becomes of the lab", () => {
  const lab = { phase: "ready", tier: "sandbox", ends_in_seconds: null } as Lab;
  const view = { lab, notice: null, trying: true };
  assert.match(statusLine(view), /^Sandbox lab · kept/);
  assert.equal(statusLine({ ...view, lab: { ...lab, ends_in_seconds: 720 } }), "Sandbox lab · ends in 12 min if nobody returns");
  assert.equal(statusLine({ lab: null, notice: null, trying: true }), "Opening the lab");
  assert.equal(statusLine({ lab: null, notice: "x", trying: false }), "No lab");
  assert.deepEqual([inWords(0), inWords(89), inWords(3540), inWords(7200)], ["0 s", "89 s", "59 min", "2 h"]);
  assert.deepEqual([tookWords(null), tookWords(42), tookWords(1540)], ["", "42 ms", "1.5 s"]);
});

test("terminal names are sane, without doubles, and at most eight", () => {
  assert.deepEqual(tabNames(["host"], ["host", "host-2", "../x", 7, "A"]), ["host", "host-2"]);
  assert.equal(nextName(["host", "host-2"]), "host-3");
  assert.equal(nextName(Array.from({ length: TERMINALS_MAX }, (_, i) => `host-${i}`)), null);
  assert.equal(tabLabel("host-2"), "host 2");
});

test("Escape leaves when it comes often enough and quickly enough", () => {
  let now = 0;
  const escaped = escapeCounter(() => 2, () => now);
  assert.equal(escaped(), false);
  now += 1000;
  assert.equal(escaped(), false, "too slow");
  now += 100;
  assert.equal(escaped(), true);
  now += 100;
  assert.equal(escaped(), false, "counting begins anew");
});
