// <lab-reset>: makes the exercise or the whole lab anew, after asking once.

import { html, render } from "lit-html";
import type { ResetScope } from "../generated/ResetScope.ts";
import { lesson, sentence } from "../live/lesson.ts";
import { Refused } from "../site/api.ts";
import { say } from "../site/say.ts";

const WORDS: Record<ResetScope, { title: string; what: string; done: string }> = {
  exercise: {
    title: "Reset the exercise",
    what: "Your containers go, and the lesson is set up again. Terminals and the files of the lab host stay.",
    done: "The exercise is set up again.",
  },
  lab: {
    title: "Reset the whole lab",
    what: "Everything in the lab goes: containers, files, shells. A new lab opens in a moment.",
    done: "A new lab is open.",
  },
};

export class LabReset extends HTMLElement {
  #dialog = document.createElement("dialog");
  #busy: ResetScope | null = null;
  #failed = "";

  connectedCallback(): void {
    this.#dialog.className = "sheet";
    this.#dialog.setAttribute("aria-labelledby", "reset-title");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Reset";
    button.addEventListener("click", () => {
      this.#failed = "";
      this.#draw();
      this.#dialog.showModal();
    });
    this.replaceChildren(button, this.#dialog);
  }

  #draw(): void {
    const one = (scope: ResetScope) => html`
      <div class="reset-one">
        <div><b>${WORDS[scope].title}</b><p>${WORDS[scope].what}</p></div>
        <button type="button" ?disabled=${this.#busy !== null} @click=${() => void this.#reset(scope)}>
          ${this.#busy === scope ? "Working" : "Reset"}
        </button>
      </div>
    `;
    render(
      html`
        <form method="dialog">
          <h2 id="reset-title">Start again from where?</h2>
          <p>The checks that you have passed stay passed.</p>
          ${one("exercise")} ${one("lab")}
          <p class="refused" role="alert" ?hidden=${this.#failed === ""}>${this.#failed}</p>
          <p class="foot"><button class="main">Keep everything</button></p>
        </form>
      `,
      this.#dialog,
    );
  }

  async #reset(scope: ResetScope): Promise<void> {
    this.#busy = scope;
    this.#failed = "";
    this.#draw();
    try {
      await lesson().reset(scope);
      this.#dialog.close();
      say(WORDS[scope].done);
    } catch (error) {
      this.#failed = error instanceof Refused ? sentence(error) : "The lab could not be reset.";
    } finally {
      this.#busy = null;
      this.#draw();
    }
  }
}

customElements.define("lab-reset", LabReset);
