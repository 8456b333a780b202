// <lab-status>: one line in the header: which lab this is, and when it ends if nobody returns.

import type { LabView } from "../generated/LabView.ts";
import { lesson } from "../live/lesson.ts";
import { statusLine } from "./lab-state.ts";

export class LabStatus extends HTMLElement {
  #view: LabView | null = null;
  #heardAt = 0;
  #linked = true;

  connectedCallback(): void {
    lesson().on("lab", (view) => {
      this.#view = view;
      this.#heardAt = Date.now();
      this.#show();
    });
    lesson().on("link", (there) => {
      this.#linked = there;
      this.#show();
    });
    setInterval(() => this.#show(), 1000);
  }

  #show(): void {
    const lab = this.#view?.lab;
    const passed = Math.floor((Date.now() - this.#heardAt) / 1000);
    const line = !this.#linked
      ? "Not connected"
      : lab?.ends_in_seconds != null && this.#view
        ? statusLine({ ...this.#view, lab: { ...lab, ends_in_seconds: Math.max(lab.ends_in_seconds - passed, 0) } })
        : statusLine(this.#view);
    if (this.textContent !== line) this.textContent = line;
    if (lab) {
      this.title = lab.tier_why;
      // A title is for those who point; this is for those who listen.
      this.setAttribute("aria-description", lab.tier_why);
    }
  }
}

customElements.define("lab-status", LabStatus);
