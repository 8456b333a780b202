// <run-block data-terminal="host">: a command of the text, with buttons that run it in the terminal and copy it.
// Without scripts the plain command is there to be read and typed.

import type { LabTerminals } from "../term/lab-terminals.ts";
import { say } from "../site/say.ts";

export class RunBlock extends HTMLElement {
  connectedCallback(): void {
    const command = this.querySelector("code")?.textContent?.replace(/\n$/, "") ?? "";
    const terminal = this.dataset["terminal"] ?? "host";
    const tools = document.createElement("div");
    tools.className = "run-tools";
    const copy = tool("Copy", `Copy: ${command}`, "run-copy");
    copy.addEventListener("click", () => void this.#copy(command, copy));
    const run = tool("Run", `Run in terminal ${terminal}: ${command}`, "run-go");
    run.addEventListener("click", () => {
      document.querySelector<LabTerminals>("lab-terminals")?.type(terminal, command);
      this.dataset["ran"] = "";
    });
    tools.append(copy, run);
    this.querySelector(".run-line")?.append(tools);
  }

  async #copy(command: string, button: HTMLButtonElement): Promise<void> {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
      say("Copied.");
    } catch {
      button.textContent = "Select it";
      getSelection()?.selectAllChildren(this.querySelector("code") ?? this);
    }
    setTimeout(() => (button.textContent = "Copy"), 1600);
  }
}

function tool(text: string, label: string, className: string): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.className = className;
  button.setAttribute("aria-label", label);
  return button;
}

customElements.define("run-block", RunBlock);
