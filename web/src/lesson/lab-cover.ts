// <lab-cover>: lies over the terminals while there is no lab to type into, and says in words what is happening.

import { html, render, type TemplateResult } from "lit-html";
import type { LabView } from "../generated/LabView.ts";
import { lesson } from "../live/lesson.ts";
import { tierName, tookWords } from "./lab-state.ts";

export class LabCover extends HTMLElement {
  connectedCallback(): void {
    this.#show(null);
    lesson().on("lab", (view) => this.#show(view));
  }

  #show(view: LabView | null): void {
    this.hidden = view?.lab?.phase === "ready";
    render(this.hidden ? "" : this.#words(view), this);
  }

  #words(view: LabView | null): TemplateResult {
    const lab = view?.lab;
    if (lab?.phase === "ended") return this.#over("The lab has ended", lab.why, "Open it again");
    if (!lab && view && !view.trying) return this.#over("There is no lab", view.notice ?? "", "Try again");
    const steps = lab?.steps ?? [];
    return html`
      <div class="cover-card" role="status">
        <h2>Opening your lab</h2>
        ${view?.notice ? html`<p>${view.notice}</p>` : ""}
        ${lab ? html`<p class="why">${tierName(lab)}. ${lab.tier_why}</p>` : ""}
        <ol class="steps">
          ${steps.map(
            ({ what, took_ms }) => html`<li data-done=${took_ms !== null}><span>${what}</span> <small>${tookWords(took_ms)}</small></li>`,
          )}
          ${steps.length === 0 ? html`<li data-done="false"><span>Asking the agent for a lab</span></li>` : ""}
        </ol>
      </div>
    `;
  }

  #over(title: string, why: string, action: string): TemplateResult {
    return html`
      <div class="cover-card">
        <h2>${title}</h2>
        <p>${why}</p>
        <p>What you have passed is kept.</p>
        <button type="button" class="main" @click=${() => void lesson().openLab()}>${action}</button>
      </div>
    `;
  }
}

customElements.define("lab-cover", LabCover);
