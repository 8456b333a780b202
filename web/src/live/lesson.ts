// The live side of a lesson page: what the server tells of the lab, the checks and the progress.
// Components subscribe to a part of it; a late subscriber is given the latest at once.

import type { LabView } from "../generated/LabView.ts";
import type { Observation } from "../generated/Observation.ts";
import type { ProgressView } from "../generated/ProgressView.ts";
import type { ResetScope } from "../generated/ResetScope.ts";
import type { Verdict } from "../generated/Verdict.ts";
import { post, Refused } from "../site/api.ts";

export interface Parts {
  lab: LabView;
  observation: Observation;
  verdicts: Verdict[];
  progress: ProgressView;
  /** Whether the server answers. */
  link: boolean;
}

/** How long the page waits before it listens anew; the last one repeats. */
const RETRY_MS = [300, 700, 1500, 3000];

export class LessonLive {
  #latest: Partial<Parts> = {};
  #listeners = new Map<keyof Parts, Set<(part: never) => void>>();
  #source: EventSource | null = null;
  #attempt = 0;

  constructor(readonly slug: string) {}

  get base(): string {
    return `/api/lessons/${this.slug}`;
  }

  /** The address of a terminal's WebSocket. */
  terminalUrl(name: string): string {
    const url = new URL(`${this.base}/terminals/${name}`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  on<K extends keyof Parts>(name: K, listener: (part: Parts[K]) => void): void {
    const set = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, set.add(listener as (part: never) => void));
    const latest = this.#latest[name];
    if (latest !== undefined) listener(latest as Parts[K]);
  }

  tell<K extends keyof Parts>(name: K, part: Parts[K]): void {
    this.#latest[name] = part;
    this.#listeners.get(name)?.forEach((listener) => (listener as (part: Parts[K]) => void)(part));
  }

  /** Asks for the lab and listens to it from now on, through server restarts. */
  start(): void {
    const source = new EventSource(`${this.base}/events`);
    this.#source = source;
    for (const name of ["lab", "observation", "verdicts", "progress"] as const) {
      source.addEventListener(name, (event) => this.tell(name, JSON.parse((event as MessageEvent<string>).data)));
    }
    source.onopen = () => {
      this.#attempt = 0;
      this.tell("link", true);
      void this.openLab();
    };
    // The browser's own attempts end at the first answer that is not a stream, so the page makes its own.
    source.onerror = () => this.#again();
  }

  /**
   * Opens the lab, or returns to it. What comes of it is told by the stream alone: the answer travels on another
   * connection, and by the time it is here the stream may have brought newer news.
   */
  async openLab(): Promise<void> {
    try {
      await post(`${this.base}/lab`);
    } catch (error) {
      // Where the server is away, the banner says so, and the next connection asks again.
      if (error instanceof Refused && error.status) this.tell("lab", { lab: null, notice: sentence(error), trying: false });
    }
  }

  async reset(scope: ResetScope): Promise<void> {
    await post(`${this.base}/reset`, { scope });
  }

  /** The verdicts on this very moment, for whoever asked; the page shows what the stream brings. */
  check(): Promise<Verdict[]> {
    return post<Verdict[]>(`${this.base}/check`);
  }

  #again(): void {
    this.#source?.close();
    this.tell("link", false);
    const wait = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)] ?? 1000;
    this.#attempt += 1;
    setTimeout(() => this.start(), wait);
  }
}

/** A refusal as one line: what happened, and what to do. */
export function sentence(error: Refused): string {
  return error.mend ? `${error.message} ${error.mend}` : error.message;
}

let current: LessonLive | null = null;

/** The lesson of this page. */
export function lesson(): LessonLive {
  if (!current) {
    const slug = document.querySelector<HTMLElement>("[data-slug]")?.dataset["slug"];
    if (!slug) throw new Error("this page shows no lesson");
    current = new LessonLive(slug);
  }
  return current;
}
