// Questions and hints are forms that work without scripts. With scripts they are sent in place, so that the
// page, its terminal and its scroll position stay.

import type { AnswerView } from "../generated/AnswerView.ts";
import type { HintsView } from "../generated/HintsView.ts";
import { lesson, sentence } from "../live/lesson.ts";
import { post, Refused } from "../site/api.ts";
import { say } from "../site/say.ts";

/** A form whose submission is `send`, shown by `show`; a refusal is shown beside the button. */
abstract class PostedForm<View> extends HTMLElement {
  protected abstract body(form: HTMLFormElement): unknown;
  protected abstract show(view: View): void;

  connectedCallback(): void {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
  }

  get form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  async #send(): Promise<void> {
    const button = this.form.querySelector("button");
    const body = this.body(this.form);
    if (button) button.disabled = true;
    try {
      this.show(await post<View>(this.form.action, body));
      this.#refused("");
    } catch (error) {
      if (error instanceof Refused) this.#refused(sentence(error));
    } finally {
      if (button) button.disabled = false;
    }
  }

  #refused(message: string): void {
    const place = this.querySelector<HTMLElement>(".refused");
    if (!place) return;
    place.hidden = message === "";
    place.textContent = message;
    if (message) say(message);
  }
}

/** <choice-block>: a `predict` or `quiz` block. */
export class ChoiceBlock extends PostedForm<AnswerView> {
  protected body(form: HTMLFormElement): unknown {
    return { choice: Number(new FormData(form).get("choice")) };
  }

  override connectedCallback(): void {
    super.connectedCallback();
    lesson().on("progress", ({ answers }) => {
      const answer = answers.find((each) => each.block === this.dataset["block"]);
      if (answer) this.show(answer, false);
    });
  }

  protected show(answer: AnswerView, spoken = true): void {
    this.dataset["answered"] = answer.correct ? "right" : "wrong";
    const closed = answer.correct || this.dataset["once"] !== undefined;
    for (const input of this.querySelectorAll<HTMLInputElement>("input[name=choice]")) {
      const chosen = Number(input.value) === answer.choice;
      if (chosen) input.checked = true;
      input.disabled = closed;
      input.closest("label")?.toggleAttribute("data-chosen", chosen);
    }
    const button = this.form.querySelector("button");
    if (button) button.hidden = closed;
    const judged = this.querySelector<HTMLElement>(".judged");
    if (!judged) return;
    judged.hidden = false;
    const verdict = judged.querySelector(".judged-word");
    if (verdict) verdict.textContent = answer.correct ? "Right." : closed ? "Not what happens." : "Not this one.";
    const why = judged.querySelector(".judged-why");
    // Made by the server from the lesson's own text.
    if (why) why.innerHTML = answer.explanation_html;
    if (spoken) say(`${verdict?.textContent ?? ""} ${why?.textContent ?? ""}`);
  }
}

/** <hint-block>: hints, or a solution, opened one at a time. */
export class HintBlock extends PostedForm<HintsView> {
  protected body(): unknown {
    return undefined;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    lesson().on("progress", ({ hints }) => {
      const view = hints.find((each) => each.block === this.dataset["block"]);
      if (view) this.show(view);
    });
  }

  protected show(view: HintsView): void {
    const list = this.querySelector(".hints-open");
    const before = list?.childElementCount ?? 0;
    if (list && before !== view.opened_html.length) {
      list.replaceChildren(
        ...view.opened_html.map((html) => {
          const item = document.createElement("li");
          // Made by the server from the lesson's own text.
          item.innerHTML = html;
          return item;
        }),
      );
      const last = list.lastElementChild;
      if (last && before < view.opened_html.length && this.contains(document.activeElement)) say(last.textContent ?? "");
    }
    const notice = this.querySelector<HTMLElement>(".hints-notice");
    if (notice) {
      notice.hidden = !view.notice;
      notice.textContent = view.notice ?? "";
    }
    const button = this.form.querySelector("button");
    if (button) button.hidden = view.left === 0;
    const left = this.querySelector(".hints-left");
    if (left) left.textContent = view.left === 1 ? "1 left" : `${view.left} left`;
  }
}

customElements.define("choice-block", ChoiceBlock);
customElements.define("hint-block", HintBlock);
