// <lab-terminals>: the terminals of a lab as tabs. Opens them when the lab is ready, renews them when it was reset.

import type { LabView } from "../generated/LabView.ts";
import { lesson } from "../live/lesson.ts";
import { shortcut } from "../site/shortcuts.ts";
import { LabTerminal } from "./lab-terminal.ts";
import { nextName, tabLabel, tabNames } from "./tab-names.ts";

/** That a lab is another one is worth a longer look than other remarks. */
const TOLD_MS = 15_000;

export class LabTerminals extends HTMLElement {
  #tabs = document.createElement("div");
  #more = button("+", "Open another terminal", "term-more");
  #latency = document.createElement("span");
  #hint = document.createElement("span");
  #terminals = new Map<string, LabTerminal>();
  #current = "";
  /** The lab whose shells are connected: its name and generation. */
  #lab = "";
  /** What was last said of the lab. */
  #told: string | null = null;

  connectedCallback(): void {
    const named = [...this.querySelectorAll<HTMLElement>("[data-terminal]")].map((e) => e.dataset["terminal"] ?? "host");
    this.replaceChildren(this.#bar());
    for (const name of tabNames(named, this.#kept())) this.#add(name);
    this.show(named[0] ?? "host");
    this.addEventListener("leave", () => this.#tab(this.#current)?.focus());
    this.addEventListener("latency", (event) => this.#measured((event as CustomEvent<number>).detail));
    this.addEventListener("sessionstate", () => this.#hinted());
    this.addEventListener("focusin", () => this.#hinted());
    this.addEventListener("focusout", () => requestAnimationFrame(() => this.#hinted()));
    shortcut("t", "Go to the terminal", () => this.focus());
    lesson().on("lab", (view) => this.#labIs(view));
  }

  /** Types a command into the terminal of that name, and goes there. */
  type(name: string, command: string): void {
    const target = this.#terminals.get(name) ?? this.#terminals.get(this.#current);
    if (!target) return;
    this.show(target.name);
    this.dispatchEvent(new CustomEvent("pane", { detail: "terminal", bubbles: true }));
    target.focus();
    if (target.fullScreen) target.tell("A full-screen program runs in this terminal. Leave it first, then run the command.");
    else target.type(command);
  }

  override focus(): void {
    this.dispatchEvent(new CustomEvent("pane", { detail: "terminal", bubbles: true }));
    this.#terminals.get(this.#current)?.focus();
  }

  show(name: string): void {
    this.#current = name;
    for (const [other, terminal] of this.#terminals) {
      const on = other === name;
      terminal.hidden = !on;
      const tab = this.#tab(other);
      tab?.setAttribute("aria-selected", String(on));
      if (tab) tab.tabIndex = on ? 0 : -1;
    }
    this.#terminals.get(name)?.fit();
  }

  #labIs({ lab, notice }: LabView): void {
    const ready = lab?.phase === "ready";
    this.dataset["lab"] = lab?.phase ?? "none";
    if (!ready) {
      // The next lab is another one, whatever its generation.
      this.#terminals.forEach((terminal) => terminal.close());
      if (this.#lab !== "") this.#lab = "gone";
      return;
    }
    const now = `${lab.id} ${lab.generation}`;
    const another = this.#lab !== "" && this.#lab !== now;
    this.#lab = now;
    this.#terminals.forEach((terminal) => (another ? terminal.restart() : terminal.open()));
    if (notice && notice !== this.#told) this.#terminals.get(this.#current)?.tell(notice, TOLD_MS);
    this.#told = notice;
  }

  #bar(): HTMLElement {
    const bar = document.createElement("div");
    bar.className = "term-bar";
    this.#tabs.setAttribute("role", "tablist");
    this.#tabs.setAttribute("aria-label", "Terminals");
    this.#tabs.className = "term-tabs";
    this.#tabs.setAttribute("aria-description", "Enter goes into a terminal, Escape twice leaves it.");
    this.#tabs.addEventListener("keydown", (event) => this.#arrows(event));
    this.#latency.className = "term-latency";
    this.#hint.className = "term-hint";
    const copy = button("Copy", "Copy the selection of the terminal", "term-tool");
    copy.addEventListener("click", () => void this.#terminals.get(this.#current)?.copy());
    this.#more.addEventListener("click", () => this.#another());
    bar.append(this.#tabs, this.#more, this.#hint, this.#latency, copy);
    return bar;
  }

  #add(name: string): void {
    const terminal = document.createElement("lab-terminal") as LabTerminal;
    terminal.setAttribute("name", name);
    terminal.id = `terminal-${name}`;
    terminal.setAttribute("role", "tabpanel");
    terminal.setAttribute("aria-labelledby", `tab-${name}`);
    const tab = button(tabLabel(name), "", "term-tab");
    tab.id = `tab-${name}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", terminal.id);
    tab.addEventListener("click", () => {
      this.show(name);
      this.#terminals.get(name)?.focus();
    });
    this.#tabs.append(tab);
    this.append(terminal);
    this.#terminals.set(name, terminal);
    this.#more.hidden = nextName([...this.#terminals.keys()]) === null;
  }

  #another(): void {
    const name = nextName([...this.#terminals.keys()]);
    if (!name) return;
    this.#add(name);
    try {
      sessionStorage.setItem(this.#key(), JSON.stringify([...this.#terminals.keys()]));
    } catch {
      // Not kept: the tab is gone after a reload, its shell is not.
    }
    this.show(name);
    const terminal = this.#terminals.get(name);
    if (this.dataset["lab"] === "ready") terminal?.open();
    terminal?.focus();
  }

  #arrows(event: KeyboardEvent): void {
    const names = [...this.#terminals.keys()];
    const at = names.indexOf(this.#current);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step ? names[(at + step + names.length) % names.length] : { Home: names[0], End: names.at(-1) }[event.key];
    if (next === undefined) {
      if (event.key === "ArrowDown") this.#terminals.get(this.#current)?.focus();
      return;
    }
    event.preventDefault();
    this.show(next);
    this.#tab(next)?.focus();
  }

  #hinted(): void {
    const typing = this.querySelector("lab-terminal:focus-within") !== null;
    const choosing = this.#tabs.matches(":focus-within");
    this.#hint.textContent = typing ? "Esc Esc to leave" : choosing ? "Enter to type here" : "";
  }

  #measured(ms: number): void {
    this.#latency.textContent = `${ms} ms`;
    this.#latency.title = "From this page to the shell's host and back";
  }

  #tab(name: string): HTMLElement | null {
    return this.#tabs.querySelector(`#tab-${name}`);
  }

  #key(): string {
    return `isolab.terminals.${lesson().slug}`;
  }

  #kept(): unknown[] {
    try {
      const kept: unknown = JSON.parse(sessionStorage.getItem(this.#key()) ?? "[]");
      return Array.isArray(kept) ? kept : [];
    } catch {
      return [];
    }
  }
}

function button(text: string, label: string, className: string): HTMLButtonElement {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.className = className;
  if (label !== "") {
    element.setAttribute("aria-label", label);
    element.title = label;
  }
  return element;
}

customElements.define("lab-terminals", LabTerminals);
