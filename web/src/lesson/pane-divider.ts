// <pane-divider>: moves the border between two panes by pointer or arrow keys, and remembers where it was.

interface Axis {
  /** The custom property that the layout reads, in percent. */
  property: string;
  min: number;
  max: number;
  start: number;
}

const AXES: Record<string, Axis> = {
  columns: { property: "--text-share", min: 25, max: 70, start: 43 },
  rows: { property: "--terminal-share", min: 20, max: 80, start: 44 },
};

const STEP = 2;

export class PaneDivider extends HTMLElement {
  #kind = "columns";
  #value = 50;

  connectedCallback(): void {
    this.#kind = this.getAttribute("split") ?? "columns";
    this.tabIndex = 0;
    this.setAttribute("role", "separator");
    this.setAttribute("aria-orientation", this.#kind === "columns" ? "vertical" : "horizontal");
    this.setAttribute("aria-valuemin", String(this.#axis.min));
    this.setAttribute("aria-valuemax", String(this.#axis.max));
    this.#set(this.#kept(), false);
    this.addEventListener("keydown", (event) => this.#key(event));
    this.addEventListener("dblclick", () => this.#set(this.#axis.start));
    this.addEventListener("pointerdown", (event) => {
      this.setPointerCapture(event.pointerId);
      this.dataset["moving"] = "";
    });
    this.addEventListener("pointermove", (event) => this.hasPointerCapture(event.pointerId) && this.#drag(event));
    this.addEventListener("lostpointercapture", () => delete this.dataset["moving"]);
  }

  get #axis(): Axis {
    return AXES[this.#kind] ?? (AXES["columns"] as Axis);
  }

  #drag(event: PointerEvent): void {
    const whole = (this.parentElement as HTMLElement).getBoundingClientRect();
    const share =
      this.#kind === "columns" ? (event.clientX - whole.left) / whole.width : (event.clientY - whole.top) / whole.height;
    this.#set(share * 100);
  }

  #key(event: KeyboardEvent): void {
    const { min, max } = this.#axis;
    const to = {
      ArrowLeft: this.#value - STEP,
      ArrowUp: this.#value - STEP,
      ArrowRight: this.#value + STEP,
      ArrowDown: this.#value + STEP,
      Home: min,
      End: max,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#set(to);
  }

  #set(value: number, keep = true): void {
    const { min, max, property } = this.#axis;
    this.#value = Math.min(Math.max(value, min), max);
    (this.parentElement as HTMLElement).style.setProperty(property, `${this.#value.toFixed(1)}%`);
    this.setAttribute("aria-valuenow", String(Math.round(this.#value)));
    if (!keep) return;
    try {
      localStorage.setItem(this.#storage, String(this.#value));
    } catch {
      // Not remembered, then.
    }
  }

  get #storage(): string {
    return `isolab.divider.${this.#kind}`;
  }

  #kept(): number {
    try {
      return Number(localStorage.getItem(this.#storage)) || this.#axis.start;
    } catch {
      return this.#axis.start;
    }
  }
}

customElements.define("pane-divider", PaneDivider);
