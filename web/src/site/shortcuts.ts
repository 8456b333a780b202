// Single-key shortcuts: a page registers its own, `?` lists them, and the settings turn them off.
// They never act while somebody types, in a terminal or in a field.

import { html, render } from "lit-html";
import { settings } from "./settings.ts";

interface Shortcut {
  key: string;
  does: string;
  run: () => void;
}

const shortcuts: Shortcut[] = [];

/** Adds a shortcut. `does` is how the list tells of it. */
export function shortcut(key: string, does: string, run: () => void): void {
  shortcuts.push({ key, does, run });
}

/** Keys that are not ours to change, listed for completeness. */
const ALWAYS = [
  ["Esc Esc", "Leave the terminal (three times where a full-screen program runs)"],
  ["Ctrl + C", "In the terminal: copy the selection, or interrupt where nothing is selected"],
  ["Ctrl + Shift + C", "In the terminal: copy the selection"],
  ["Ctrl + V", "In the terminal: paste"],
  ["Enter", "In a terminal that lost its connection: try again now"],
] as const;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function showList(): void {
  const dialog = document.createElement("dialog");
  dialog.className = "sheet";
  dialog.setAttribute("aria-labelledby", "shortcuts-title");
  dialog.addEventListener("close", () => dialog.remove());
  const row = (key: string, does: string) => html`<div><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`;
  render(
    html`
      <form method="dialog">
        <h2 id="shortcuts-title">Keys</h2>
        <dl class="keys">
          ${shortcuts.map(({ key, does }) => row(key, does))} ${ALWAYS.map(([key, does]) => row(key, does))}
        </dl>
        <p class="foot"><small>Single keys can be turned off in the settings.</small><button class="main">Done</button></p>
      </form>
    `,
    dialog,
  );
  document.body.append(dialog);
  dialog.showModal();
}

shortcut("?", "Show this list", showList);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (!settings().shortcuts || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const found = shortcuts.find(({ key }) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found.run();
});
