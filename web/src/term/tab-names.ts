// Which terminals a page shows: those that the lesson names, and those that the learner added.

/** The most terminals of one lab; the agent refuses more. */
export const TERMINALS_MAX = 8;

const NAME = /^[a-z0-9-]{1,20}$/;

/** The lesson's terminals, then the kept ones, without doubles and within the limit. */
export function tabNames(named: readonly string[], kept: readonly unknown[]): string[] {
  const sane = kept.filter((name): name is string => typeof name === "string" && NAME.test(name));
  return [...new Set([...named, ...sane])].slice(0, TERMINALS_MAX);
}

/** A name for one more terminal: `host-2`, `host-3`, … the first that is free. */
export function nextName(names: readonly string[]): string | null {
  if (names.length >= TERMINALS_MAX) return null;
  for (let n = 2; ; n += 1) {
    const name = `host-${n}`;
    if (!names.includes(name)) return name;
  }
}

/** How a tab is labelled. */
export function tabLabel(name: string): string {
  return name.replace(/-(\d+)$/, " $1");
}
