// What the page says of the lab, in words: while it opens, while it runs, and when it is gone. No page in here.

import type { Lab } from "../generated/Lab.ts";
import type { LabView } from "../generated/LabView.ts";

const TIERS: Record<string, string> = { sandbox: "Sandbox lab", vm: "VM lab" };

/** What kind of lab this is. */
export function tierName(lab: Lab): string {
  return TIERS[lab.tier] ?? "Lab";
}

/** The line in the header. */
export function statusLine(view: LabView | null): string {
  const lab = view?.lab;
  if (!lab) return view && !view.trying ? "No lab" : "Opening the lab";
  if (lab.phase === "opening") return "Opening the lab";
  if (lab.phase === "ended") return "The lab has ended";
  const tier = tierName(lab);
  return lab.ends_in_seconds === null ? `${tier} · kept while this page is open` : `${tier} · ends in ${inWords(lab.ends_in_seconds)} if nobody returns`;
}

/** "52 min", "40 s": as exact as is useful. */
export function inWords(seconds: number): string {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** How long a step took, where a person would have noticed. */
export function tookWords(ms: number | null): string {
  if (ms === null) return "";
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}
