// The terminal's colours, read from the tokens in styles/tokens.css for the theme of the moment.

import type { ITheme } from "@xterm/xterm";

const ANSI = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;

/** Reads the colours as they hold for `element`. */
export function coloursFor(element: HTMLElement): ITheme {
  // A token may be light-dark(…): only a real property resolves it.
  const probe = document.createElement("i");
  element.append(probe);
  const read = (token: string) => {
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
  const theme: ITheme = {
    background: read("--term-bg"),
    foreground: read("--term-ink"),
    cursor: read("--term-cursor"),
    cursorAccent: read("--term-bg"),
    selectionBackground: read("--term-selection"),
    scrollbarSliderBackground: read("--term-slider"),
    scrollbarSliderHoverBackground: read("--term-soft"),
    scrollbarSliderActiveBackground: read("--term-soft"),
  };
  for (const name of ANSI) {
    theme[name] = read(`--term-${name}`);
    theme[`bright${name[0]?.toUpperCase()}${name.slice(1)}` as keyof ITheme & `bright${string}`] = read(`--term-bright-${name}`) as never;
  }
  probe.remove();
  return theme;
}
