// Timers that the test moves: node 18, which Debian 12 has, cannot mock them.

interface Timer {
  at: number;
  every: number | null;
  run: () => void;
}

/** Replaces the global timers until `restore`. */
export function stopClock() {
  const kept = { setTimeout, setInterval, clearTimeout, clearInterval };
  const timers = new Map<number, Timer>();
  let now = 0;
  let ids = 0;
  const add = (run: () => void, wait: number, repeats: boolean) => {
    timers.set(++ids, { at: now + wait, every: repeats ? wait : null, run });
    return ids;
  };
  const remove = (id: number) => void timers.delete(id);
  Object.assign(globalThis, {
    setTimeout: (run: () => void, wait = 0) => add(run, wait, false),
    setInterval: (run: () => void, wait = 0) => add(run, wait, true),
    clearTimeout: remove,
    clearInterval: remove,
  });
  const next = (until: number) =>
    [...timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0];
  return {
    tick(ms: number): void {
      const until = now + ms;
      for (let due = next(until); due; due = next(until)) {
        const [id, timer] = due;
        now = timer.at;
        if (timer.every === null) timers.delete(id);
        else timer.at += timer.every;
        timer.run();
      }
      now = until;
    },
    restore: () => void Object.assign(globalThis, kept),
  };
}
