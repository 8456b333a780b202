// A terminal answers some control sequences ("who are you", "where is the cursor"). When old output is
// replayed after a reload, the program that asked is long gone, and the answer would be typed into the shell.

import type { IDisposable, Terminal } from "@xterm/xterm";

/** Leaves queries unanswered while `replaying()` is true. */
export function muteRepliesWhile(terminal: Terminal, replaying: () => boolean): IDisposable[] {
  const { parser } = terminal;
  const mute = () => replaying();
  return [
    // Device attributes and version.
    parser.registerCsiHandler({ final: "c" }, mute),
    parser.registerCsiHandler({ prefix: ">", final: "c" }, mute),
    parser.registerCsiHandler({ prefix: "=", final: "c" }, mute),
    parser.registerCsiHandler({ prefix: ">", final: "q" }, mute),
    // Status and cursor position.
    parser.registerCsiHandler({ final: "n" }, mute),
    parser.registerCsiHandler({ prefix: "?", final: "n" }, mute),
    // Modes and settings.
    parser.registerCsiHandler({ intermediates: "$", final: "p" }, mute),
    parser.registerCsiHandler({ prefix: "?", intermediates: "$", final: "p" }, mute),
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, mute),
    // Window reports.
    parser.registerCsiHandler({ final: "t" }, mute),
    // Colours: only the questions; a program may also set them.
    ...[4, 10, 11, 12].map((code) => parser.registerOscHandler(code, (data) => replaying() && data.includes("?"))),
  ];
}
