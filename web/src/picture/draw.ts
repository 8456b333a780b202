// The live picture as SVG, from a layout. Colours and type come from styles/picture.css.

import { html, nothing, svg, type SVGTemplateResult, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { Observation } from "../generated/Observation.ts";
import { commandOf, cut, INDENT, PID_X, ROW, TREE_X, type Box, type Chip, type Layout, type Row } from "./layout.ts";

/** `scale` is how many pixels of the page one of the layout is: the picture grows with the text. */
export function draw(observation: Observation, layout: Layout, scale: number, label: string): TemplateResult {
  const { width, height } = layout;
  return html`
    <svg class="picture" role="img" aria-label=${label} width=${width * scale} height=${height * scale} viewBox="0 0 ${width} ${height}">
      ${hostHead(observation, layout)} ${guides(layout)}
      ${repeat(layout.hostRows, (each) => each.key, (each) => hostRow(each, layout))}
      ${layout.hiddenOnHost > 0 ? more(layout.hiddenOnHost, TREE_X, (layout.hostRows.at(-1)?.y ?? 0) + ROW) : nothing}
      ${repeat(layout.boxes, (each) => each.key, (each) => containerBox(each, layout))}
    </svg>
  `;
}

function hostHead({ host, kernel }: Observation, { width, boxes, wide }: Layout): SVGTemplateResult {
  const right = wide && boxes.length > 0;
  return svg`
    <text class="title" x="4" y="18">${cut(host.hostname || "lab host", width / 2)}<tspan class="soft" dx="10">${wide ? "the lab host" : "the host"}</tspan></text>
    ${wide ? svg`<text class="soft end" x=${width - 2} y="18">kernel ${cut(kernel.release, 180, 7)}, one for all</text>` : nothing}
    <text class="head end" x=${PID_X} y="40">PID</text>
    <text class="head" x=${TREE_X} y="40">${right ? "on the host" : wide ? "process" : ""}</text>
  `;
}

/** The lines of the tree: down from each parent, and across to each child. */
function guides({ hostRows, boxes, wide }: Layout): SVGTemplateResult {
  // Without room for commands on the left there is no tree to the containers' processes either.
  const rows = [...hostRows, ...(wide ? boxes.flatMap((box) => box.rows) : [])].filter((each) => each.parentY !== null);
  const path = rows.map((each) => {
    const x = TREE_X + (each.depth - 1) * INDENT + 4;
    return `M${x} ${(each.parentY ?? 0) + ROW / 2 + 9}V${each.y + ROW / 2}H${x + INDENT - 6}`;
  });
  return svg`<path class="guide" d=${path.join("") || "M0 0"} />`;
}

function hostRow(each: Row, { width, boxes, wide }: Layout): SVGTemplateResult {
  const x = TREE_X + each.depth * INDENT;
  // A process of the host may be in pid namespaces of its own making: its other numbers, from the outside in.
  const numbers = each.process.pids.slice(1).map((pid) => ` → ${pid}`).join("");
  const room = (wide && boxes.length > 0 ? (boxes[0]?.x ?? width) : width) - x - 16 - numbers.length * 7.85;
  return svg`
    <g class="proc" data-key=${each.key} data-y=${each.y} transform="translate(0 ${each.y})">
      <title>${commandOf(each.process)}${numbers ? `: NSpid ${each.process.pids.join(" ")}` : ""}</title>
      <text class="pid end" x=${PID_X} y="17">${each.process.pid}</text>
      <text class="cmd" x=${x} y="17">${cut(each.command, room)}<tspan class="pid inside">${numbers}</tspan></text>
    </g>
  `;
}

/** A process of a container: its number on the host, a line across the wall, its number inside. */
function containedRow(each: Row, box: Box, layout: Layout): SVGTemplateResult {
  const left = TREE_X + each.depth * INDENT;
  const room = box.x - left - 40;
  const word = layout.wide ? cut(each.command, room) : "";
  const from = layout.wide ? left + word.length * 7.85 + 10 : PID_X + 10;
  const to = box.x + 16;
  const own = !box.container.namespaces.pid.shared;
  const numberX = to + 12;
  const inside = String(each.process.pid_inside);
  const commandX = numberX + Math.max(inside.length, 2) * 7.85 + 14;
  return svg`
    <g class="proc contained" data-key=${each.key} data-y=${each.y} transform="translate(0 ${each.y})">
      <title>${commandOf(each.process)}: process ${inside} in ${box.title}, process ${each.process.pid} on the host</title>
      <rect class="hit" x="0" y="1" width=${layout.width} height=${ROW - 2} rx="6" />
      <text class="pid end" x=${PID_X} y="17">${each.process.pid}</text>
      <text class="cmd" x=${left} y="17">${word}</text>
      <line class=${own ? "link" : "link same"} x1=${from} y1="13" x2=${to} y2="13" />
      <circle class=${own ? "dot" : "dot same"} cx=${from} cy="13" r="3.2" />
      <circle class=${own ? "dot" : "dot same"} cx=${to} cy="13" r="3.2" />
      <text class=${own ? "pid inside" : "pid"} x=${numberX} y="17">${inside}</text>
      <text class="cmd" x=${commandX} y="17">${cut(each.command, box.x + box.width - commandX - 12)}</text>
    </g>
  `;
}

function containerBox(box: Box, layout: Layout): SVGTemplateResult {
  const shared = box.container.namespaces.pid.shared;
  const title = cut(box.title, (box.width - 28) * 0.7, 8.6);
  const image = cut(box.container.image, box.width - 40 - title.length * 8.6, 7);
  return svg`
    <g class="container" data-key=${box.key} data-y=${box.y}>
      <rect class=${shared ? "wall missing" : "wall"} x=${box.x} y=${box.y} width=${box.width} height=${box.height} rx="14" />
      ${shared ? missing(box) : nothing}
      <text class="title" x=${box.x + 16} y=${box.y + 24}>${title}</text>
      <text class="soft end" x=${box.x + box.width - 16} y=${box.y + 24}>${box.container.image ? image : ""}</text>
      ${box.chips.map(chip)}
      ${repeat(box.rows, (each) => each.key, (each) => containedRow(each, box, layout))}
      ${box.hidden > 0 ? more(box.hidden, box.x + 28, (box.rows.at(-1)?.y ?? box.y) + ROW) : nothing}
    </g>
  `;
}

/** The gap in a wall that is not there, with its name beside it. */
function missing(box: Box): SVGTemplateResult {
  const words = "no pid wall: it sees the host";
  const width = words.length * 6 + 14;
  const x = Math.max(box.x + box.width - width - 18, box.x + 12);
  return svg`
    <rect class="gap" x=${x} y=${box.y - 9} width=${width} height="18" />
    <text class="gap-name" x=${x + 7} y=${box.y + 4}>${words}</text>
  `;
}

function chip({ wall, shared, x, y, width }: Chip): SVGTemplateResult {
  return svg`
    <g class=${`chip ${shared ? "shared" : "own"} of-${wall.key}`}>
      <title>${wall.name}: ${shared ? "shared with the host" : "its own"}. ${wall.sentence}</title>
      <rect x=${x} y=${y} width=${width} height="20" rx="6" />
      <path transform="translate(${x + 4} ${y + 4}) scale(.75)" d=${wall.sign} />
      <text x=${x + 20} y=${y + 14}>${wall.name}</text>
      ${shared ? svg`<path class="strike" d="M${x + 4} ${y + 17}L${x + 18} ${y + 3}" />` : nothing}
    </g>
  `;
}

function more(count: number, x: number, y: number): SVGTemplateResult {
  return svg`<text class="soft" x=${x} y=${y + 17}>and ${count} more</text>`;
}
