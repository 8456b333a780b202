// What a person has chosen about the pages, kept in this browser and nowhere else.

export interface Settings {
  theme: "system" | "light" | "dark";
  text: "small" | "normal" | "large" | "huge";
  terminal: "dark" | "page";
  motion: "system" | "less";
  screenReader: boolean;
  shortcuts: boolean;
}

const KEY = "isolab.settings";

const STANDARD: Settings = {
  theme: "system",
  text: "normal",
  terminal: "dark",
  motion: "system",
  screenReader: false,
  shortcuts: true,
};

/** The settings; what was never chosen, or cannot be read, is the standard. */
export function settings(): Settings {
  try {
    return { ...STANDARD, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>) };
  } catch {
    return STANDARD;
  }
}

/** Keeps a change, applies it, and tells all who listen to `isolab-settings` on the window. */
export function change(part: Partial<Settings>): void {
  const all = { ...settings(), ...part };
  try {
    localStorage.setItem(KEY, JSON.stringify(all));
  } catch {
    // A browser that keeps nothing still applies it to this page.
  }
  apply(all);
  window.dispatchEvent(new CustomEvent<Settings>("isolab-settings", { detail: all }));
}

/** Writes the settings to the root element, where the styles read them. */
export function apply(all: Settings): void {
  const { dataset } = document.documentElement;
  dataset["theme"] = all.theme;
  dataset["text"] = all.text;
  dataset["terminal"] = all.terminal;
  dataset["motion"] = all.motion;
}

/** Whether things should change without moving. */
export function still(): boolean {
  return settings().motion === "less" || matchMedia("(prefers-reduced-motion: reduce)").matches;
}
