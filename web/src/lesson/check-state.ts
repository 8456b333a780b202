// What a check's place in the strip says, from the latest verdict and the first pass. No page in here.

import type { Evidence } from "../generated/Evidence.ts";
import type { PassView } from "../generated/PassView.ts";
import type { Verdict } from "../generated/Verdict.ts";

export interface CheckShown {
  /** `passed` now; `kept`: it passed before, and the state has changed since; `open`; `broken`: our fault. */
  state: "passed" | "kept" | "open" | "broken" | "waiting";
  /** The state in a word, for those who do not see the sign. */
  word: string;
  /** One sentence: what holds, or what was seen instead. */
  message: string;
  evidence: Evidence[];
}

/** Joins what is so now with what has been achieved; a pass is never taken back. */
export function shown(verdict: Verdict | undefined, pass: PassView | undefined): CheckShown {
  if (verdict?.state === "passed") {
    return { state: "passed", word: "passed", message: verdict.message, evidence: verdict.evidence };
  }
  if (pass) {
    const at = new Date(pass.passed_at_ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return { state: "kept", word: "passed", message: `Passed at ${at}: ${pass.message}`, evidence: pass.evidence };
  }
  if (verdict?.state === "broken") {
    const message = `${verdict.message} This is Isolab's fault, not yours.`;
    return { state: "broken", word: "could not be checked", message, evidence: verdict.evidence };
  }
  if (verdict) return { state: "open", word: "not yet", message: verdict.message, evidence: verdict.evidence };
  return { state: "waiting", word: "not yet", message: "Checked as soon as the lab is there.", evidence: [] };
}
