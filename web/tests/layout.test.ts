import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "../src/generated/Container.ts";
import type { Namespaces } from "../src/generated/Namespaces.ts";
import type { Observation } from "../src/generated/Observation.ts";
import type { Process } from "../src/generated/Process.ts";
import { commandOf, cut, forest, layOut, ROWS_MAX, shortCommand, summary } from "../src/picture/layout.ts";

const KINDS = ["user", "pid", "mnt", "net", "uts", "ipc", "cgroup", "time"] as const;
const namespaces = (shared: (kind: string) => boolean) =>
  Object.fromEntries(KINDS.map((kind, at) => [kind, { inode: 4026531800 + at, shared: shared(kind) }])) as unknown as Namespaces;

const process = (pid: number, ppid: number, command: string, inside = pid) =>
  ({ pid, ppid, pid_inside: inside, pids: inside === pid ? [pid] : [pid, inside], argv: command.split(" "), comm: "x" }) as Process;

const container = (name: string, processes: Process[], shared: (kind: string) => boolean) =>
  ({ id: name, name, image: "ubuntu", init: processes[0], processes, namespaces: namespaces(shared) }) as Container;

const observation = (host: Process[], containers: Container[]) =>
  ({ kernel: { release: "6.18" }, host: { hostname: "labhost", processes: host }, containers }) as unknown as Observation;

const host = [process(1, 0, "isolab-engine"), process(40, 0, "-bash"), process(41, 40, "ps")];
const pidTest = () => container("pid-test", [process(3816, 1, "sleep 3600", 1)], (kind) => kind === "user");

test("each process of a container stands beside its own number on the host", () => {
  const { boxes, hostRows } = layOut(observation(host, [pidTest()]), 700);
  assert.deepEqual(hostRows.map((row) => row.process.pid), [1, 40, 41]);
  const [box] = boxes;
  assert.ok(box);
  assert.equal(box.rows[0]?.process.pid, 3816);
  assert.equal(box.rows[0]?.process.pid_inside, 1);
  assert.equal(box.rows[0]?.parentY, hostRows[0]?.y, "its parent is the host's PID 1");
});

test("nothing overlaps: rows and boxes go down in order, and boxes hold their rows and chips", () => {
  for (const width of [340, 700, 1400]) {
    const two = container("b", [process(50, 1, "sh"), process(51, 50, "sleep 1")], () => true);
    const { boxes, height, hostRows } = layOut(observation(host, [pidTest(), two]), width);
    const rows = [...hostRows, ...boxes.flatMap((box) => box.rows)];
    rows.slice(1).forEach((row, at) => assert.ok(row.y >= (rows[at]?.y ?? 0) + 26, `width ${width}`));
    boxes.slice(1).forEach((box, at) => assert.ok(box.y > (boxes[at]?.y ?? 0) + (boxes[at]?.height ?? 0)));
    for (const box of boxes) {
      assert.ok(box.x + box.width <= width);
      assert.ok(box.rows.every((row) => row.y > box.y && row.y + 26 <= box.y + box.height));
      assert.ok(box.chips.every((chip) => chip.x >= box.x && chip.x + chip.width <= box.x + box.width));
    }
    assert.ok((boxes.at(-1)?.y ?? 0) + (boxes.at(-1)?.height ?? 0) <= height);
  }
});

test("a chip says which walls are shared", () => {
  const [box] = layOut(observation(host, [pidTest()]), 700).boxes;
  assert.deepEqual(box?.chips.filter((chip) => chip.shared).map((chip) => chip.wall.name), ["user"]);
});

test("a fork bomb is counted, not drawn", () => {
  const bomb = Array.from({ length: 400 }, (_, i) => process(100 + i, 1, "sh"));
  const { boxes } = layOut(observation(host, [container("bomb", bomb, () => false)]), 700);
  assert.equal(boxes[0]?.rows.length, ROWS_MAX);
  assert.equal(boxes[0]?.hidden, 400 - ROWS_MAX);
});

test("a tree has every process once, even where parents form a ring", () => {
  const ring = [process(5, 6, "a"), process(6, 5, "b"), process(7, 7, "c")];
  assert.deepEqual(forest(ring, 0).map(({ process: { pid } }) => pid).sort(), [5, 6, 7]);
});

test("what a learner put into arguments stays one line", () => {
  assert.equal(commandOf(process(9, 1, "sh -c echo\n\u001b[31mred\u0000x")), "sh -c echo [31mred x");
  assert.equal(commandOf({ ...process(9, 1, ""), argv: [] }), "[x]");
  assert.equal(shortCommand(process(9, 1, "/usr/bin/tail -F /var/log/x")), "tail -F /var/log/x");
  assert.equal(shortCommand(process(9, 1, "/ /a")), "/ /a");
  assert.equal(cut("abcdefghij", 5 * 7.85), "abcd…");
});

test("the summary names both numbers", () => {
  assert.equal(
    summary(observation(host, [pidTest()])),
    "The lab host runs 3 processes of its own and 1 container: pid-test, whose process 1 inside is process 3816 on the host.",
  );
  assert.equal(summary(observation([process(1, 0, "x")], [])), "The lab host runs 1 process of its own and no container.");
});
