// Everything that makes a lesson page live.

import { lesson } from "../live/lesson.ts";
import "../picture/process-tree.ts";
import { shortcut } from "../site/shortcuts.ts";
import "../term/lab-terminals.ts";
import "./check-strip.ts";
import "./forms.ts";
import "./lab-cover.ts";
import "./lab-reset.ts";
import "./lab-status.ts";
import "./link-banner.ts";
import "./pane-divider.ts";
import "./pane-tabs.ts";
import "./run-block.ts";

shortcut("c", "Go to the checks", () => document.querySelector<HTMLElement>("check-strip [data-check] button")?.focus());
shortcut("p", "Go to the text", () => {
  document.querySelector("pane-tabs")?.dispatchEvent(new CustomEvent("pane", { detail: "text", bubbles: true }));
  document.querySelector<HTMLElement>("article")?.focus();
});

lesson().start();
