// node's test runner, except that where the machine lacks a browser or images, every test is skipped with the reason:
// a skip that looks like a pass would be a lie.
import * as runner from "node:test";
import { whyNoMachine, whyNot } from "./needs.mjs";

const missing = whyNot();
if (missing) console.error(`SKIPPED: ${missing}`);

/** No single test should take longer: the slowest opens a lab and waits for a server to come back. */
const TEST_MS_MAX = 180_000;

export const test = (name, run) => runner.test(name, missing ? { skip: missing } : { timeout: TEST_MS_MAX }, run);

/** No single test in a virtual machine should take longer: the first one boots it, under emulation. */
const MACHINE_TEST_MS_MAX = 400_000;
const noMachine = whyNoMachine();

export const testInMachine = (name, run) => runner.test(name, noMachine ? { skip: noMachine } : { timeout: MACHINE_TEST_MS_MAX }, run);
export const describe = runner.describe;
export const before = (run) => runner.before(() => (missing ? undefined : run()), { timeout: TEST_MS_MAX });
export const after = (run) => runner.after(() => (missing ? undefined : run()), { timeout: TEST_MS_MAX });
