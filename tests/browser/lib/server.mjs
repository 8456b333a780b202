// A real `isolab serve` with a state directory of its own, which can be killed, started again and taken away.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { images, isolab, machineImages } from "./needs.mjs";

const START_MS_MAX = 30_000;
const END_MS_MAX = 10_000;

export class Server {
  #child;
  #log = "";

  /** `machines`: labs in virtual machines can be opened, too. */
  static async start({ machines = false } = {}) {
    const server = new Server();
    server.program = isolab();
    assert.ok(server.program, "the program isolab is not built; run: make build");
    server.home = mkdtempSync(join(tmpdir(), "isolab-browser-"));
    symlinkSync(images(), join(server.home, "images"));
    if (machines) symlinkSync(machineImages(), join(server.home, "vm"));
    server.port = await freePort();
    server.origin = `http://127.0.0.1:${server.port}`;
    await server.up();
    return server;
  }

  /** Starts the program and waits until it answers. */
  async up() {
    const env = { ...process.env, ISOLAB_HOME: this.home };
    this.#child = spawn(this.program, ["serve", "--listen", `127.0.0.1:${this.port}`], { env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on("data", (data) => (this.#log += data));
    const until = Date.now() + START_MS_MAX;
    while (!(await this.#answers())) {
      assert.equal(this.#child.exitCode, null, `isolab serve has ended:\n${this.#log}`);
      assert.ok(Date.now() < until, `isolab serve does not answer:\n${this.#log}`);
      await pause(50);
    }
  }

  /** As a crash would: no goodbye. */
  async kill9() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  /** Ends the server and its agent and removes the state directory. Fails where a process is left. */
  async remove() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await ended;
    }
    const stop = spawnSync(this.program, ["stop"], { env: { ...process.env, ISOLAB_HOME: this.home }, encoding: "utf8", timeout: END_MS_MAX });
    const until = Date.now() + END_MS_MAX;
    while (this.processes().length > 0 && Date.now() < until) await pause(100);
    const left = this.processes();
    for (const { pid } of left) process.kill(pid, "SIGKILL");
    rmSync(this.home, { recursive: true, force: true });
    assert.equal(stop.status, 0, `isolab stop: ${stop.stderr}`);
    assert.deepEqual(left, [], "processes are left");
  }

  /** All processes that know of this state directory, by their environment or arguments. */
  processes() {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      const read = (file) => {
        try {
          return readFileSync(`/proc/${name}/${file}`, "latin1");
        } catch {
          return "";
        }
      };
      const pid = Number(name);
      const ours = pid !== process.pid && (read("environ").includes(this.home) || read("cmdline").includes(this.home));
      return ours ? [{ pid, command: read("cmdline").replaceAll("\0", " ") }] : [];
    });
  }

  /** What the server has said so far. */
  get log() {
    return this.#log;
  }

  async #answers() {
    try {
      return (await fetch(`${this.origin}/`)).ok;
    } catch {
      return false;
    }
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
