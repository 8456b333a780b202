// <lab-terminal name="host">: one terminal of the lab, drawn by xterm.js, fed by a Session.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { lesson } from "../live/lesson.ts";
import { say } from "../site/say.ts";
import { settings } from "../site/settings.ts";
import { coloursFor } from "./colours.ts";
import { allowSpanStyles, withConstructedStyles } from "./csp.ts";
import { copySelection, handleKeys } from "./keys.ts";
import { muteRepliesWhile } from "./replies.ts";
import { Session, type Screen, type SessionState } from "./session.ts";

/** Lines kept for scrolling back. At 200 columns that is about 10 MB of cells, and more than the agent remembers. */
const SCROLLBACK_LINES = 5000;
/** How long the size is shown after a change. */
const SIZE_SHOWN_MS = 900;
/** How long the answer to something that the person did stays. */
const NOTICE_MS = 4000;
/** How long a remark stays that nobody asked for: that the terminal is used elsewhere, or that input was dropped. */
const REMARK_MS = 15_000;
/** Waiting for the layout to come to rest before the shell is told of a new size. */
const RESIZE_PAUSE_MS = 60;

allowSpanStyles();

export class LabTerminal extends HTMLElement {
  readonly terminal = new Terminal({
    scrollback: SCROLLBACK_LINES,
    fontFamily: '"JetBrains Mono Variable", ui-monospace, monospace',
    fontSize: 14,
    lineHeight: 1.25,
    cursorBlink: false,
    minimumContrastRatio: 4.5,
    screenReaderMode: settings().screenReader,
    allowProposedApi: false,
  });
  #fit = new FitAddon();
  #replaying = false;
  #opened = false;
  #sizeTimer: ReturnType<typeof setTimeout> | undefined;
  #resizeTimer: ReturnType<typeof setTimeout> | undefined;
  #session: Session | null = null;
  #size = part("size", "term-size");
  #noticeTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether what is shown holds until the connection stands again. */
  #lasting = false;
  #notice = part("notice", "term-notice");

  get name(): string {
    return this.getAttribute("name") ?? "host";
  }

  connectedCallback(): void {
    if (this.#opened) return;
    this.#opened = true;
    this.#notice.setAttribute("role", "status");
    this.#notice.hidden = true;
    const surface = part("surface", "term-surface");
    this.append(surface, this.#size, this.#notice);
    this.#build(surface);
    this.#session = new Session(lesson().terminalUrl(this.name), this.#screen(), {
      state: (state) => this.#show(state),
      notice: (message) => this.tell(message, REMARK_MS),
      latency: (ms) => this.dispatchEvent(new CustomEvent("latency", { detail: ms, bubbles: true })),
    });
  }

  /** Connects to the shell, or goes on being connected. */
  open(): void {
    this.fit();
    this.#session?.open();
  }

  /** The lab is another one: forgets the old screen, and connects to the new shell. */
  restart(): void {
    this.#session?.restart();
  }

  /** Ends the connection; the shell goes on. */
  close(): void {
    this.#session?.close();
  }

  override focus(): void {
    this.terminal.focus();
  }

  /** Whether a program has the whole screen, so that typing a command would go to it. */
  get fullScreen(): boolean {
    return this.terminal.buffer.active.type === "alternate";
  }

  /** Types a command as a person would, and Enter. */
  type(command: string): void {
    this.#enter();
    const typed = command.replace(/\r?\n/g, "\r");
    const many = typed.includes("\r") && this.terminal.modes.bracketedPasteMode;
    // Ctrl+U first: what is half typed does not become part of the command.
    this.#input(`\x15${many ? `\x1b[200~${typed}\x1b[201~` : typed}\r`);
    this.terminal.scrollToBottom();
  }

  async copy(): Promise<void> {
    if (!this.terminal.hasSelection()) return this.#tell("Select some text first, then copy.");
    await copySelection(this.terminal, { copied: () => this.#tell("Copied.") });
  }

  /** Makes the terminal fill its place. */
  fit(): void {
    if (this.#opened && this.offsetParent !== null && this.clientWidth > 40 && this.clientHeight > 20) this.#fit.fit();
  }

  #build(surface: HTMLElement): void {
    const { terminal } = this;
    terminal.loadAddon(this.#fit);
    withConstructedStyles(() => terminal.open(surface));
    if (terminal.textarea) {
      terminal.textarea.setAttribute("aria-label", `Terminal ${this.name}. Press Escape twice to leave it.`);
      // The Tab key belongs to the shell, so it must not lead in: Enter on the terminal's tab does.
      terminal.textarea.tabIndex = -1;
    }
    muteRepliesWhile(terminal, () => this.#replaying);
    terminal.onData((data) => this.#input(data));
    terminal.onBinary((data) => this.#session?.input(Uint8Array.from(data, (c) => c.charCodeAt(0))));
    terminal.onResize(({ cols, rows }) => this.#resized(cols, rows));
    terminal.onTitleChange((title) => this.dispatchEvent(new CustomEvent("shelltitle", { detail: title, bubbles: true })));
    handleKeys(terminal, {
      leave: () => this.dispatchEvent(new CustomEvent("leave", { bubbles: true })),
      copied: () => this.#tell("Copied."),
      enter: () => this.#enter(),
    });
    new ResizeObserver(() => {
      clearTimeout(this.#resizeTimer);
      this.#resizeTimer = setTimeout(() => this.fit(), RESIZE_PAUSE_MS);
    }).observe(this);
    this.#followSettings();
    // Cells are measured with the font that is there: measure again with the one that was meant.
    void document.fonts.load('14px "JetBrains Mono Variable"').then(() => {
      terminal.options.fontFamily = '"JetBrains Mono Variable", ui-monospace, monospace ';
      this.fit();
    });
  }

  #followSettings(): void {
    const recolour = () => {
      this.terminal.options.theme = coloursFor(this);
      this.terminal.options.fontSize = Math.round(parseFloat(getComputedStyle(this).getPropertyValue("--term-size")) || 14);
      this.terminal.options.screenReaderMode = settings().screenReader;
      this.fit();
    };
    recolour();
    window.addEventListener("isolab-settings", recolour);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    matchMedia("(max-width: 760px)").addEventListener("change", recolour);
  }

  #screen(): Screen {
    const { terminal } = this;
    return {
      get cols() {
        return terminal.cols;
      },
      get rows() {
        return terminal.rows;
      },
      write: (bytes, done) => terminal.write(bytes, done),
      restore: (screen, done) => {
        // In the order of what is written before and after it.
        terminal.write("\x1bc");
        terminal.write(screen, done);
      },
      // The switch takes its turn among the writes: each query is parsed under the rule it came with.
      replaying: (on) => (on ? void (this.#replaying = true) : terminal.write("", () => (this.#replaying = false))),
    };
  }

  #input(text: string): void {
    this.#session?.input(new TextEncoder().encode(text));
  }

  /** Connects at once where the connection is lost or the shell has ended; says whether that was so. */
  #enter(): boolean {
    const kind = this.#session?.state.kind;
    if (kind !== "exited" && kind !== "lost") return false;
    this.#session?.open();
    return true;
  }

  #resized(cols: number, rows: number): void {
    this.#session?.resize();
    if (this.#session?.state.kind !== "live") return;
    this.#size.textContent = `${cols} × ${rows}`;
    this.#size.dataset["shown"] = "";
    clearTimeout(this.#sizeTimer);
    this.#sizeTimer = setTimeout(() => delete this.#size.dataset["shown"], SIZE_SHOWN_MS);
  }

  #show(state: SessionState): void {
    this.dataset["state"] = state.kind;
    this.dispatchEvent(new CustomEvent("sessionstate", { detail: state, bubbles: true }));
    if (state.kind === "lost") this.#tell("The connection to this terminal is lost. It comes back by itself; Enter tries now.", Infinity);
    else if (state.kind === "exited") this.#tell(`The shell has ended with status ${state.status}. Enter starts a new one.`, Infinity);
    else if (state.kind === "live" && this.#lasting) this.#tell("");
  }

  /** Shows a sentence at the foot of the terminal for so long. */
  #tell(message: string, ms = NOTICE_MS): void {
    this.#notice.textContent = message;
    this.#notice.hidden = message === "";
    this.#lasting = ms === Infinity;
    clearTimeout(this.#noticeTimer);
    if (message !== "" && ms < Infinity) this.#noticeTimer = setTimeout(() => this.#tell(""), ms);
  }

  /** Says something about this terminal to the person. */
  tell(message: string, ms = NOTICE_MS): void {
    this.#tell(message, ms);
    say(message);
  }
}

function part(name: string, className: string): HTMLElement {
  const element = document.createElement("div");
  element.dataset["part"] = name;
  element.className = className;
  return element;
}

customElements.define("lab-terminal", LabTerminal);
