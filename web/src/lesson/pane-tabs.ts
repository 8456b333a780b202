// <pane-tabs>: on a narrow screen, text, terminal and picture are one at a time, and this chooses which.

const PANES = [
  ["text", "Text"],
  ["terminal", "Terminal"],
  ["picture", "Picture"],
] as const;

export class PaneTabs extends HTMLElement {
  connectedCallback(): void {
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", "Show");
    this.replaceChildren(
      ...PANES.map(([pane, label]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.dataset["pane"] = pane;
        button.addEventListener("click", () => this.show(pane));
        return button;
      }),
    );
    this.show("text");
    document.addEventListener("pane", (event) => this.show((event as CustomEvent<string>).detail));
  }

  show(pane: string): void {
    document.body.dataset["pane"] = pane;
    for (const button of this.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset["pane"] === pane));
    }
    // What was hidden measures itself again.
    window.dispatchEvent(new Event("resize"));
  }
}

customElements.define("pane-tabs", PaneTabs);
