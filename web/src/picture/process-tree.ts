// <process-tree>: the lab as its kernel sees it, drawn anew whenever that changes.

import { html, render } from "lit-html";
import type { Observation } from "../generated/Observation.ts";
import { lesson } from "../live/lesson.ts";
import { draw } from "./draw.ts";
import { layOut, summary } from "./layout.ts";
import { places, settle } from "./motion.ts";
import { twin } from "./twin.ts";

export class ProcessTree extends HTMLElement {
  #observation: Observation | null = null;
  #pending = 0;

  connectedCallback(): void {
    this.#draw();
    lesson().on("observation", (observation) => {
      this.#observation = observation;
      this.#soon();
    });
    lesson().on("lab", ({ lab }) => {
      if (lab?.phase === "ready") return;
      // What was seen of a lab that is gone is no picture of the next one.
      this.#observation = null;
      this.#soon();
    });
    new ResizeObserver(() => this.#soon()).observe(this);
    window.addEventListener("isolab-settings", () => this.#soon());
  }

  /** Draws at the next frame: many changes in one frame are one drawing. */
  #soon(): void {
    if (this.#pending) return;
    this.#pending = requestAnimationFrame(() => {
      this.#pending = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const observation = this.#observation;
    if (!observation) {
      render(html`<p class="picture-wait">The picture appears with the lab.</p>`, this);
      return;
    }
    const before = places(this);
    const style = getComputedStyle(this);
    const width = this.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (width < 100) return;
    const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    const words = summary(observation);
    render(
      html`
        ${draw(observation, layOut(observation, Math.floor(width / scale)), scale, words)}
        ${observation.containers.length === 0
          ? html`<p class="picture-wait">No container runs. What you start appears here, with its walls.</p>`
          : ""}
        ${observation.truncated ? html`<p class="picture-wait">There are more processes than the picture can hold.</p>` : ""}
        <details class="twin"><summary>The same as text</summary><p>${words}</p>${twin(observation)}</details>
      `,
      this,
    );
    settle(this, before);
  }
}

customElements.define("process-tree", ProcessTree);
