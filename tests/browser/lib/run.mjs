// `npm test WORD…`: runs the test files whose name holds one of the words, or all of them.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const words = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && (words.length === 0 || words.some((word) => name.includes(word))));
if (files.length === 0) {
  console.error(`no test file's name holds ${words.join(" or ")}`);
  process.exit(2);
}
process.exit(spawnSync(process.execPath, ["--test", ...files], { cwd: here, stdio: "inherit" }).status ?? 1);
