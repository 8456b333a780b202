// <link-banner>: says that the server is away, and goes when it is back. A short absence is not worth a word.

import { lesson } from "../live/lesson.ts";

/** A server that is restarted within this time is not missed. */
const PATIENCE_MS = 1200;

export class LinkBanner extends HTMLElement {
  #timer: ReturnType<typeof setTimeout> | undefined;

  connectedCallback(): void {
    this.setAttribute("role", "status");
    this.hidden = true;
    lesson().on("link", (there) => {
      clearTimeout(this.#timer);
      if (there) {
        this.hidden = true;
        this.textContent = "";
      } else if (this.hidden) {
        this.#timer = setTimeout(() => this.#say(), PATIENCE_MS);
      }
    });
  }

  #say(): void {
    this.hidden = false;
    this.textContent = "The server does not answer. Your lab and your progress are kept; this page returns by itself.";
  }
}

customElements.define("link-banner", LinkBanner);
