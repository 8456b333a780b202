// The settings, in a dialog that the header's button opens. Changes apply at once; there is nothing to save.

import { html, render } from "lit-html";
import { change, settings, type Settings } from "./settings.ts";

type Choices<K extends keyof Settings> = readonly (readonly [Settings[K], string])[];

const THEMES: Choices<"theme"> = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];
const TEXTS: Choices<"text"> = [["small", "Small"], ["normal", "Normal"], ["large", "Large"], ["huge", "Huge"]];
const TERMINALS: Choices<"terminal"> = [["dark", "Always dark"], ["page", "As the page"]];
const MOTIONS: Choices<"motion"> = [["system", "As the system"], ["less", "None"]];

export class SettingsDialog extends HTMLElement {
  #dialog = document.createElement("dialog");

  connectedCallback(): void {
    this.#dialog.className = "sheet";
    this.#dialog.setAttribute("aria-labelledby", "settings-title");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Settings";
    button.addEventListener("click", () => this.open());
    this.replaceChildren(button, this.#dialog);
    this.#dialog.addEventListener("change", (event) => this.#changed(event));
    window.addEventListener("isolab-settings", () => this.#draw());
  }

  open(): void {
    this.#draw();
    this.#dialog.showModal();
  }

  #draw(): void {
    const now = settings();
    const one = <K extends "theme" | "text" | "terminal" | "motion">(key: K, legend: string, choices: Choices<K>) => html`
      <fieldset>
        <legend>${legend}</legend>
        ${choices.map(
          ([value, label]) => html`<label class="pick"
            ><input type="radio" name=${key} value=${value} .checked=${now[key] === value} /><span>${label}</span></label
          >`,
        )}
      </fieldset>
    `;
    const flag = (key: "screenReader" | "shortcuts", label: string, sentence: string) => html`
      <label class="flag"
        ><input type="checkbox" name=${key} .checked=${now[key]} /><span><b>${label}</b><small>${sentence}</small></span></label
      >
    `;
    render(
      html`
        <form method="dialog">
          <h2 id="settings-title">Settings</h2>
          ${one("theme", "Theme", THEMES)} ${one("text", "Text size", TEXTS)} ${one("terminal", "Terminal", TERMINALS)}
          ${one("motion", "Motion", MOTIONS)}
          ${flag("screenReader", "Screen reader in the terminal", "Output is also ordinary text, and new lines are read aloud.")}
          ${flag("shortcuts", "Single-key shortcuts", "Press ? anywhere outside a field to see them.")}
          <p class="foot"><small>Kept in this browser only.</small><button class="main">Done</button></p>
        </form>
      `,
      this.#dialog,
    );
  }

  #changed(event: Event): void {
    const input = event.target as HTMLInputElement;
    change({ [input.name]: input.type === "checkbox" ? input.checked : input.value });
  }
}

customElements.define("settings-dialog", SettingsDialog);
