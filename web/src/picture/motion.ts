// Lets the picture change calmly: what moved glides, what is new fades in and draws its line. Nothing blinks.

import { still } from "../site/settings.ts";

const MOVE_MS = 320;
const APPEAR_MS = 420;

/** The heights of all rows at this moment, by key. */
export function places(root: Element): Map<string, number> {
  const found = new Map<string, number>();
  for (const element of root.querySelectorAll<SVGElement>("[data-key]")) {
    found.set(element.dataset["key"] ?? "", Number(element.dataset["y"]));
  }
  return found;
}

/** Animates from the places before to those after. Does nothing for those who asked for no motion. */
export function settle(root: Element, before: Map<string, number>): void {
  if (still() || before.size === 0) return;
  for (const element of root.querySelectorAll<SVGElement>("[data-key]")) {
    const was = before.get(element.dataset["key"] ?? "");
    const is = Number(element.dataset["y"]);
    if (was === undefined) {
      element.animate([{ opacity: 0 }, { opacity: 1 }], { duration: APPEAR_MS, easing: "ease-out" });
      element.querySelectorAll<SVGLineElement>(".link").forEach(drawLine);
    } else if (was !== is && element.classList.contains("proc")) {
      element.animate([{ transform: `translate(0px, ${was}px)` }, { transform: `translate(0px, ${is}px)` }], {
        duration: MOVE_MS,
        easing: "cubic-bezier(.2, .7, .2, 1)",
      });
    }
  }
}

function drawLine(line: SVGLineElement): void {
  const length = Math.abs(line.x2.baseVal.value - line.x1.baseVal.value);
  line.animate(
    [
      { strokeDasharray: `${length} ${length}`, strokeDashoffset: length },
      { strokeDasharray: `${length} ${length}`, strokeDashoffset: 0 },
    ],
    { duration: APPEAR_MS * 1.4, easing: "ease-in-out" },
  );
}
