// Where everything in the live picture goes: a pure function of the observation and the width.
//
// On the left is the lab host with all its processes, those of containers too, because to its kernel they are
// ordinary processes. On the right, beside the same rows, stands each container with its own numbers for them.

import type { Container } from "../generated/Container.ts";
import type { Observation } from "../generated/Observation.ts";
import type { Process } from "../generated/Process.ts";
import { NAMESPACE_WALLS } from "./walls.ts";

/** A process as the picture shows it: once on the host, and once more where it is in a container. */
export interface Row {
  key: string;
  process: Process;
  /** What it was called with, as one line; the program without its folder. */
  command: string;
  y: number;
  /** How deep it is in the tree of the host. */
  depth: number;
  /** The row of its parent, where that is in the picture. */
  parentY: number | null;
  contained: boolean;
}

export interface Chip {
  wall: (typeof NAMESPACE_WALLS)[number];
  shared: boolean;
  x: number;
  y: number;
  width: number;
}

export interface Box {
  key: string;
  container: Container;
  title: string;
  x: number;
  y: number;
  width: number;
  height: number;
  chips: Chip[];
  rows: Row[];
  /** How many of its processes are not shown. */
  hidden: number;
}

export interface Layout {
  width: number;
  height: number;
  /** Whether there is room for commands on both sides. */
  wide: boolean;
  hostRows: Row[];
  hiddenOnHost: number;
  boxes: Box[];
}

export const ROW = 26;
export const INDENT = 14;
/** Where the pids of the host end, so that they line up on the right. */
export const PID_X = 54;
export const TREE_X = 64;

const TOP = 46;
const BOX_GAP = 18;
const BOX_HEAD = 36;
const BOX_FOOT = 10;
const CHIP_HEIGHT = 22;
const CHIP_GAP = 4;
/** Width of a letter of the small monospaced type, in pixels. */
const LETTER = 6.7;
/** Below this the left side shows only numbers. */
const WIDE_MIN = 560;
/** More rows than this in one place tell a person nothing; a fork bomb has thousands. */
export const ROWS_MAX = 40;

/** Lays the observation out in a picture of `width` pixels. */
export function layOut(observation: Observation, width: number): Layout {
  const wide = width >= WIDE_MIN;
  const boxX = wide ? Math.max(Math.round(width * 0.42), 280) : PID_X + 52;
  const host = besideInit(forest(observation.host.processes, 0));
  const hostRows: Row[] = [];
  let y = TOP;
  for (const { process, depth } of host.slice(0, ROWS_MAX)) {
    hostRows.push(row(process, `h${process.pid}`, y, depth, false));
    y += ROW;
  }
  const hiddenOnHost = host.length - hostRows.length;
  if (hiddenOnHost > 0) y += ROW;

  const boxes: Box[] = [];
  for (const container of observation.containers) {
    y += BOX_GAP;
    const box = boxAt(container, boxX, y, width - boxX - 2);
    boxes.push(box);
    y += box.height;
  }
  linkParents(hostRows, boxes.flatMap((box) => box.rows));
  return { width, height: y + 10, wide, hostRows, hiddenOnHost, boxes };
}

/** Roots other than PID 1 stand one level in, so that the line from PID 1 to the containers passes beside them. */
function besideInit(order: { process: Process; depth: number }[]): { process: Process; depth: number }[] {
  let inInit = false;
  return order.map(({ process, depth }) => {
    if (depth === 0) inInit = process.pid === 1;
    return { process, depth: inInit ? depth : depth + 1 };
  });
}

function boxAt(container: Container, x: number, y: number, width: number): Box {
  const chips = chipsOf(container, x + 14, y + BOX_HEAD, width - 28);
  const chipsEnd = chips.at(-1)?.y ?? y + BOX_HEAD;
  let rowY = chipsEnd + CHIP_HEIGHT + 8;
  // One level in: the lab host's first process is the parent of them all, or the parent's parent.
  const all = forest(container.processes, 1);
  const rows = all.slice(0, ROWS_MAX).map(({ process, depth }) => {
    const made = row(process, `c${process.pid}`, rowY, depth, true);
    rowY += ROW;
    return made;
  });
  const hidden = all.length - rows.length;
  if (hidden > 0) rowY += ROW;
  return {
    key: container.id || `mnt${container.namespaces.mnt.inode}`,
    container,
    title: container.name || "a container that the engine does not know",
    x, y, width,
    height: rowY + BOX_FOOT - y,
    chips, rows, hidden,
  };
}

function chipsOf(container: Container, left: number, top: number, width: number): Chip[] {
  let x = left;
  let y = top;
  return NAMESPACE_WALLS.map((wall) => {
    const chipWidth = Math.round(wall.name.length * LETTER + 25);
    if (x + chipWidth > left + width && x > left) {
      x = left;
      y += CHIP_HEIGHT + CHIP_GAP;
    }
    const chip = { wall, shared: container.namespaces[wall.namespace].shared, x, y, width: chipWidth };
    x += chipWidth + CHIP_GAP;
    return chip;
  });
}

function row(process: Process, key: string, y: number, depth: number, contained: boolean): Row {
  return { key, process, command: shortCommand(process), y, depth, parentY: null, contained };
}

/** The arguments as one line; what has none (a kernel thread, a zombie) goes by its name in brackets. */
export function commandOf(process: Process): string {
  const line = process.argv.join(" ").replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  return line === "" ? `[${process.comm}]` : line;
}

/** The same, with the program's name alone where it was called by its path: the picture is narrow. */
export function shortCommand(process: Process): string {
  return commandOf(process).replace(/^\/\S*\/(?=[^/\s])/, "");
}

/** Processes in the order of a tree, by pid, each with its depth. A parent that is elsewhere makes a root. */
export function forest(processes: readonly Process[], base: number): { process: Process; depth: number }[] {
  const pids = new Set(processes.map((process) => process.pid));
  const children = new Map<number, Process[]>();
  const roots: Process[] = [];
  for (const process of [...processes].sort((a, b) => a.pid - b.pid)) {
    // A process that names itself or a later one as its parent would make a ring.
    const inside = pids.has(process.ppid) && process.ppid !== process.pid;
    if (inside) children.set(process.ppid, [...(children.get(process.ppid) ?? []), process]);
    else roots.push(process);
  }
  const order: { process: Process; depth: number }[] = [];
  const seen = new Set<number>();
  const visit = (process: Process, depth: number): void => {
    if (seen.has(process.pid)) return;
    seen.add(process.pid);
    order.push({ process, depth });
    children.get(process.pid)?.forEach((child) => visit(child, depth + 1));
  };
  roots.forEach((root) => visit(root, base));
  processes.forEach((process) => visit(process, base));
  return order;
}

function linkParents(hostRows: Row[], contained: Row[]): void {
  const byPid = new Map([...hostRows, ...contained].map((each) => [each.process.pid, each]));
  for (const each of byPid.values()) {
    const parent = byPid.get(each.process.ppid);
    if (parent && parent.y < each.y && parent.depth < each.depth) each.parentY = parent.y;
  }
}

/** Cuts a line to what fits. */
export function cut(text: string, pixels: number, letter = 7.85): string {
  const letters = Math.max(Math.floor(pixels / letter), 3);
  return text.length <= letters ? text : `${text.slice(0, letters - 1)}…`;
}

/** The picture in a sentence or two, for those who do not see it. */
export function summary(observation: Observation): string {
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : what.endsWith("s") ? "es" : "s"}`;
  const host = `The lab host runs ${count(observation.host.processes.length, "process")} of its own`;
  if (observation.containers.length === 0) return `${host} and no container.`;
  const containers = observation.containers.map((container) => {
    const { pid, pid_inside } = container.init;
    return `${container.name || "a nameless one"}, whose process ${pid_inside} inside is process ${pid} on the host`;
  });
  return `${host} and ${count(observation.containers.length, "container")}: ${containers.slice(0, 8).join("; ")}.`;
}
