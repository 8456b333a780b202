// What the tests need of the machine, and where it is.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The browser: ISOLAB_CHROMIUM, else where Debian and Ubuntu put it. */
export function chromium() {
  const named = process.env.ISOLAB_CHROMIUM;
  return [named, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/snap/bin/chromium"].find((path) => path && existsSync(path));
}

/** The program `isolab`: in ISOLAB_BIN_DIR, else the newest of the places where cargo builds it. */
export function isolab() {
  if (process.env.ISOLAB_BIN_DIR) return join(process.env.ISOLAB_BIN_DIR, "isolab");
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const triples = existsSync(target) ? readdirSync(target) : [];
  const places = ["", ...triples].flatMap((triple) => ["release", "debug"].map((profile) => join(target, triple, profile, "isolab")));
  return places.find((path) => existsSync(path));
}

/** The directory of images, as the recipe made it: ISOLAB_IMAGES, else that of the usual state directory. */
export function images() {
  const usual = process.getuid() === 0 ? "/var/lib/isolab" : join(process.env.XDG_DATA_HOME ?? join(process.env.HOME ?? "/", ".local/share"), "isolab");
  return process.env.ISOLAB_IMAGES ?? join(process.env.ISOLAB_HOME ?? usual, "images");
}

/** The image of lab VMs, as its recipe made it, beside those of containers. */
export const machineImages = () => join(images(), "..", "vm");

/** Why tests in virtual machines cannot be run here; undefined where they can. */
export function whyNoMachine() {
  if (whyNot()) return whyNot();
  if (!existsSync(join(machineImages(), "current"))) return `there is no image of virtual machines in ${machineImages()}; make it: make vm`;
  // Under emulation the checks of a debug build take ten times as long as what they check.
  if (/\/debug$/.test(process.env.ISOLAB_BIN_DIR ?? "")) return "the programs are those of a debug build; scripts/test runs this with those that users have";
  return undefined;
}

/** Why the tests cannot be run here; undefined where they can. */
export function whyNot() {
  if (!chromium()) return "there is no chromium; install it: sudo apt-get install chromium";
  if (!existsSync(join(images(), "current"))) return `there are no images in ${images()}; make them: make images`;
  return undefined;
}
