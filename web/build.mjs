// Bundles the scripts and the styles into dist/, which the server embeds and serves at /assets.
// Entry names are plain: the server puts a digest of all assets into the path, so a browser may keep them for ever.
import { build, context } from "esbuild";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const watching = process.argv.includes("--watch");

const common = {
  bundle: true,
  outdir: here("dist"),
  target: ["es2022"],
  minify: !watching,
  sourcemap: watching,
  legalComments: "none",
  logLevel: "info",
};

const scripts = {
  ...common,
  entryPoints: { app: here("src/app.ts") },
  format: "esm",
  // The terminal is a third of a megabyte; only a page that has one loads it.
  splitting: true,
  chunkNames: "chunk-[name]-[hash]",
};

// Runs before the first paint, so that a chosen theme does not flash: a classic script, and tiny.
const early = { ...common, entryPoints: { early: here("src/site/early.ts") }, format: "iife" };

const styles = {
  ...common,
  entryPoints: { app: here("styles/app.css") },
  loader: { ".woff2": "file", ".svg": "file" },
  assetNames: "[name]",
};

/** What others made and we serve, with their licences: served beside it, and linked from the home page. */
const SERVED = ["@xterm/xterm", "@xterm/addon-fit", "lit-html", "@fontsource-variable/inter", "@fontsource-variable/jetbrains-mono"];

async function licences() {
  const texts = SERVED.map(async (name) => `${name}\n\n${await readFile(here(`node_modules/${name}/LICENSE`), "utf8")}`);
  return (await Promise.all(texts)).join(`\n${"-".repeat(72)}\n\n`);
}

if (watching) {
  for (const options of [scripts, early, styles]) await (await context(options)).watch();
} else {
  const results = await Promise.all([scripts, early, styles].map((options) => build({ ...options, metafile: true })));
  await cp(here("public"), here("dist"), { recursive: true });
  await writeFile(here("dist/licences.txt"), await licences());
  // What an earlier build left is removed last, so that a server built meanwhile always finds a whole set.
  const made = new Set(["licences.txt", ...results.flatMap((result) => Object.keys(result.metafile.outputs)), ...(await readdir(here("public")))].map((path) => basename(path)));
  for (const name of await readdir(here("dist"))) {
    if (!made.has(name)) await rm(here(`dist/${name}`), { recursive: true });
  }
}
