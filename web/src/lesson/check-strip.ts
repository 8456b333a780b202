// <check-strip>: the checks between terminal and picture. They fill as the kernel's state changes; on focus or
// click each shows its evidence. The verdicts are the server's; nothing is decided here.

import { html, render } from "lit-html";
import type { Evidence } from "../generated/Evidence.ts";
import type { PassView } from "../generated/PassView.ts";
import type { Verdict } from "../generated/Verdict.ts";
import { lesson, sentence } from "../live/lesson.ts";
import { Refused } from "../site/api.ts";
import { say } from "../site/say.ts";
import { shown, type CheckShown } from "./check-state.ts";

const WHERE: Record<CheckShown["state"], string> = { passed: "✓", kept: "✓", open: "○", waiting: "○", broken: "!" };

export class CheckStrip extends HTMLElement {
  #verdicts = new Map<string, Verdict>();
  #passes = new Map<string, PassView>();
  #said = new Map<string, CheckShown["state"]>();
  #evidence = document.createElement("div");
  #open: string | null = null;

  connectedCallback(): void {
    this.#evidence.className = "evidence";
    this.#evidence.id = "evidence";
    this.#evidence.hidden = true;
    this.append(this.#evidence);
    for (const check of this.#checks()) {
      const button = check.querySelector("button") as HTMLButtonElement;
      button.disabled = false;
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-controls", "evidence");
      button.addEventListener("click", () => this.#toggle(check.dataset["check"] ?? ""));
      button.addEventListener("focus", () => button.matches(":focus-visible") && this.#show(check.dataset["check"] ?? ""));
    }
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#open) {
        event.preventDefault();
        this.#show(null);
      }
    });
    document.addEventListener("click", (event) => {
      if (!this.contains(event.target as Node)) this.#show(null);
    });
    this.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !this.contains(event.relatedTarget as Node)) this.#show(null);
    });
    this.querySelector<HTMLButtonElement>(".check-now")?.addEventListener("click", (event) => void this.#now(event.currentTarget as HTMLButtonElement));
    lesson().on("verdicts", (verdicts) => {
      this.#verdicts = new Map(verdicts.map((verdict) => [verdict.check, verdict]));
      this.#fill();
    });
    lesson().on("progress", (progress) => {
      this.#passes = new Map(progress.passed.map((pass) => [pass.check, pass]));
      this.#fill();
    });
  }

  #checks(): HTMLElement[] {
    return [...this.querySelectorAll<HTMLElement>("[data-check]")];
  }

  #shown(name: string): CheckShown {
    return shown(this.#verdicts.get(name), this.#passes.get(name));
  }

  #fill(): void {
    for (const check of this.#checks()) {
      const name = check.dataset["check"] ?? "";
      const now = this.#shown(name);
      check.dataset["state"] = now.state;
      text(check, ".check-sign", WHERE[now.state]);
      text(check, ".check-word", now.word);
      text(check, ".check-said", now.message);
      const before = this.#said.get(name);
      if (now.state === "passed" && before !== undefined && before !== "passed" && before !== "kept") {
        say(`Passed: ${check.querySelector(".check-name")?.textContent ?? name}.`);
      }
      this.#said.set(name, now.state);
    }
    // The places in the text that name a check follow the strip.
    for (const mark of document.querySelectorAll<HTMLElement>("article [data-check-mark]")) {
      const now = this.#shown(mark.dataset["checkMark"] ?? "");
      mark.dataset["state"] = now.state;
      text(mark, ".check-sign", WHERE[now.state]);
      text(mark, ".check-word", now.word);
    }
    if (this.#open) this.#show(this.#open);
  }

  #toggle(name: string): void {
    this.#show(this.#open === name && !this.#evidence.hidden ? null : name);
  }

  #show(name: string | null): void {
    this.#open = name;
    this.#evidence.hidden = name === null;
    for (const check of this.#checks()) {
      check.querySelector("button")?.setAttribute("aria-expanded", String(check.dataset["check"] === name));
    }
    if (name === null) return;
    const now = this.#shown(name);
    render(
      html`
        <p>${now.message}</p>
        ${now.evidence.length > 0 ? html`<dl>${now.evidence.map(fact)}</dl>` : ""}
      `,
      this.#evidence,
    );
  }

  async #now(button: HTMLButtonElement): Promise<void> {
    button.disabled = true;
    try {
      const verdicts = await lesson().check();
      const passed = verdicts.filter((verdict) => verdict.state === "passed").length;
      say(`${passed} of ${verdicts.length} checks hold now.`);
    } catch (error) {
      if (error instanceof Refused) say(sentence(error));
    } finally {
      button.disabled = false;
    }
  }
}

function fact({ wanted, saw, place }: Evidence) {
  return html`<div><dt>wanted</dt><dd>${wanted}</dd><dt>saw</dt><dd>${saw}</dd>${place ? html`<dt>in</dt><dd><code>${place}</code></dd>` : ""}</div>`;
}

function text(root: Element, selector: string, value: string): void {
  const element = root.querySelector(selector);
  if (element && element.textContent !== value) element.textContent = value;
}

customElements.define("check-strip", CheckStrip);
