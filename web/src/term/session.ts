// One terminal's conversation with the agent: connecting, resuming, acknowledging, trying again.
// It knows neither xterm.js nor the page; a Screen shows what it is given and says when it has been shown.

import { decode, encode, FRAME_BYTES_MAX, inputFrames, SUBPROTOCOL, type ClientFrame } from "./frames.ts";

/** What shows the output. `done` is called when the bytes have been parsed. */
export interface Screen {
  readonly cols: number;
  readonly rows: number;
  write(bytes: Uint8Array, done: () => void): void;
  /** Begins anew with a screen that the agent remembers. */
  restore(screen: Uint8Array, done: () => void): void;
  /** Whether queries in what is written now are old ones, to be left unanswered. */
  replaying(on: boolean): void;
}

export type SessionState =
  | { kind: "closed" }
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "lost"; retryAtMs: number }
  | { kind: "exited"; status: number };

export interface SessionEvents {
  state(state: SessionState): void;
  /** A sentence about the terminal, for people. */
  notice(message: string): void;
  latency(ms: number): void;
}

/** The part of WebSocket that a session uses, so that tests can stand in for it. */
export interface Socket {
  binaryType: BinaryType;
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

const OPEN = 1;

/** Acknowledged at once beyond this much: an eighth of what the agent lets run ahead. */
const ACK_BYTES = 32 * 1024;
/** Less than that is acknowledged together after this pause: no one waits for it. */
const ACK_PAUSE_MS = 30;
/** How often the way to the shell and back is measured. */
const PING_EVERY_MS = 5000;
/** Input given before the connection stands is kept up to this size: a few commands. */
const WAITING_BYTES_MAX = 64 * 1024;
/** The agent sends what it remembers in frames of this much: a shorter one means that the past is over. */
const REPLAY_BYTES = FRAME_BYTES_MAX / 2;
/** Where nothing is remembered, the past is over this long after the agent's first answer. */
const REPLAY_PAUSE_MS = 200;
/** The agent closes with this code when the lab has ended or was reset: what was seen belongs to another terminal. */
const CLOSE_LAB_ENDED = 4001;
/** The server closes with this code when there is no lab until the learner does something. */
const CLOSE_NO_LAB = 4404;
/** Waits between attempts; the last one repeats. A server that is restarted is back within a second or two. */
const RETRY_MS = [250, 500, 1000, 2000, 4000];

export class Session {
  #socket: Socket | null = null;
  #state: SessionState = { kind: "closed" };
  /** The first byte that has not been received. */
  #next = 0;
  /** Everything before this has been shown. */
  #shown = 0;
  #acked = 0;
  #attempt = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #ackTimer: ReturnType<typeof setTimeout> | undefined;
  #pingTimer: ReturnType<typeof setInterval> | undefined;
  #replaying = false;
  #replayTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the other end has become another terminal. */
  #void = false;

  constructor(
    private readonly url: string,
    private readonly screen: Screen,
    private readonly events: SessionEvents,
    private readonly connect: (url: string, protocol: string) => Socket = (url, protocol) => new WebSocket(url, protocol),
    private readonly now: () => number = () => Math.round(performance.now()),
  ) {}

  get state(): SessionState {
    return this.#state;
  }

  /** Connects; where bytes have been received before, resumes after them. */
  open(): void {
    clearTimeout(this.#retryTimer);
    if (this.#socket) return;
    if (this.#void) this.#forget();
    this.#enter({ kind: "connecting" });
    const socket = this.connect(this.url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => this.#greet();
    socket.onmessage = (event) => this.#receive(new Uint8Array(event.data as ArrayBuffer));
    socket.onclose = (event) => {
      this.#void ||= event.code === CLOSE_LAB_ENDED;
      if (event.code === CLOSE_NO_LAB) this.close();
      else this.#lost(socket);
    };
  }

  /** Ends the conversation for good. The shell goes on. */
  close(): void {
    clearTimeout(this.#retryTimer);
    this.#drop();
    this.#enter({ kind: "closed" });
  }

  /** Begins anew from the first byte: the terminal at the other end is another one. */
  restart(): void {
    this.#drop();
    this.#void = true;
    this.#attempt = 0;
    this.open();
  }

  /**
   * Sends input, or keeps it while the connection is being made. What is typed into a lost terminal or an ended
   * shell is dropped: nobody expects it to be carried out later.
   */
  input(bytes: Uint8Array): void {
    const { kind } = this.#state;
    if (kind === "live") {
      for (const frame of inputFrames(bytes)) this.#socket?.send(frame);
    } else if ((kind === "connecting" || kind === "closed") && this.#waitingBytes + bytes.length <= WAITING_BYTES_MAX) {
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
    }
  }

  resize(): void {
    if (this.#state.kind === "live") this.#send({ kind: "resize", cols: this.screen.cols, rows: this.screen.rows });
  }

  #greet(): void {
    this.#attempt = 0;
    this.#acked = this.#shown;
    this.#replaying = true;
    this.screen.replaying(true);
    this.#send({ kind: "hello", lastSeq: this.#next, cols: this.screen.cols, rows: this.screen.rows });
    this.#ping();
    this.#pingTimer = setInterval(() => this.#ping(), PING_EVERY_MS);
    this.#enter({ kind: "live" });
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const bytes of waiting) this.input(bytes);
  }

  #receive(message: Uint8Array): void {
    const frame = decode(message);
    switch (frame.kind) {
      case "output":
        return this.#output(frame.seq, frame.bytes);
      case "snapshot":
        this.#next = frame.seq;
        this.screen.restore(frame.screen, () => this.#wasShown(frame.seq));
        return this.#replayed();
      case "pong":
        return this.#pong(frame.stamp);
      case "state":
        return this.events.notice(frame.message);
      case "exit":
        this.#drop();
        return this.#enter({ kind: "exited", status: frame.status });
    }
  }

  #output(seq: number, bytes: Uint8Array): void {
    // After a resume the agent may repeat a little; what was seen is not shown twice.
    const fresh = seq < this.#next ? bytes.subarray(this.#next - seq) : bytes;
    const end = Math.max(seq + bytes.length, this.#next);
    this.#next = end;
    if (fresh.length > 0) this.screen.write(fresh, () => this.#wasShown(end));
    clearTimeout(this.#replayTimer);
    if (bytes.length < REPLAY_BYTES) this.#replayed();
  }

  #wasShown(seq: number): void {
    this.#shown = seq;
    if (seq - this.#acked >= ACK_BYTES) {
      this.#ack();
    } else {
      this.#ackTimer ??= setTimeout(() => this.#ack(), ACK_PAUSE_MS);
    }
  }

  #ack(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#shown === this.#acked) return;
    this.#acked = this.#shown;
    this.#send({ kind: "ack", seq: this.#shown });
  }

  #ping(): void {
    this.#send({ kind: "ping", stamp: this.now() });
  }

  /** The past is over: from here on programs may ask, and are answered. */
  #replayed(): void {
    if (!this.#replaying) return;
    this.#replaying = false;
    this.screen.replaying(false);
  }

  /** The other end is another terminal: begins with an empty screen and the first byte. */
  #forget(): void {
    this.#void = false;
    this.#next = this.#shown = this.#acked = 0;
    this.screen.restore(new Uint8Array(), () => {});
  }

  #pong(stamp: number): void {
    if (this.#replaying) this.#replayTimer ??= setTimeout(() => this.#replayed(), REPLAY_PAUSE_MS);
    this.events.latency(Math.max(this.now() - stamp, 0));
  }

  #send(frame: ClientFrame): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(encode(frame));
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#drop();
    const wait = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)] ?? 1000;
    this.#attempt += 1;
    this.#enter({ kind: "lost", retryAtMs: this.now() + wait });
    this.#retryTimer = setTimeout(() => this.open(), wait);
  }

  /** Forgets the socket and all that belongs to it. */
  #drop(): void {
    clearInterval(this.#pingTimer);
    clearTimeout(this.#ackTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#replayTimer);
    this.#ackTimer = this.#replayTimer = undefined;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
  }

  #enter(state: SessionState): void {
    this.#state = state;
    this.events.state(state);
  }
}
