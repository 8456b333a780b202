// What the terminal's keyboard does beside typing: copying, pasting, and a way out.

import type { Terminal } from "@xterm/xterm";

/** Escapes within this time of each other are one gesture. Slower ones are meant for the program. */
const ESCAPE_MS = 450;

export interface KeyActions {
  /** Leaves the terminal. */
  leave(): void;
  /** Something was copied. */
  copied(): void;
  /** Takes Enter where the terminal is not connected; says whether it did. */
  enter(): boolean;
}

/**
 * Ctrl+C copies a selection, else interrupts; Ctrl+Shift+C copies; Ctrl+V and Ctrl+Shift+V paste, by the
 * browser's own paste event. Escape twice leaves; where a full-screen program runs, which may
 * want Escape itself, three times.
 */
export function handleKeys(terminal: Terminal, actions: KeyActions): void {
  const escaped = escapeCounter(() => (terminal.buffer.active.type === "alternate" ? 3 : 2));
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown") return true;
    const chord = event.ctrlKey && !event.altKey && !event.metaKey;
    const key = event.key.toLowerCase();
    if (chord && key === "c" && (terminal.hasSelection() || event.shiftKey)) {
      event.preventDefault();
      void copySelection(terminal, actions);
      return false;
    }
    if (chord && key === "v") return false;
    if (event.key === "Enter" && actions.enter()) return false;
    if (event.key === "Escape" && escaped()) {
      event.preventDefault();
      actions.leave();
      return false;
    }
    return true;
  });
}

/** Counts quick Escapes; says when the last one needed has come. */
export function escapeCounter(needed: () => number, now: () => number = () => performance.now()): () => boolean {
  let count = 0;
  let last = -Infinity;
  return () => {
    count = now() - last < ESCAPE_MS ? count + 1 : 1;
    last = now();
    if (count < needed()) return false;
    count = 0;
    return true;
  };
}

/** Copies what is selected, and lets go of it. */
export async function copySelection(terminal: Terminal, actions: Pick<KeyActions, "copied">): Promise<void> {
  const text = terminal.getSelection();
  if (text === "") return;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without the permission, or on a plain-http address: the old way copies what is selected in the page.
    terminal.textarea?.focus();
    document.execCommand("copy");
  }
  terminal.clearSelection();
  actions.copied();
}
