// The picture's twin in text: the same processes as a table, and the same walls as a list.

import { html, type TemplateResult } from "lit-html";
import type { Container } from "../generated/Container.ts";
import type { Observation } from "../generated/Observation.ts";
import type { Process } from "../generated/Process.ts";
import { commandOf } from "./layout.ts";
import { NAMESPACE_WALLS } from "./walls.ts";

/** As many rows as a person would read. */
const ROWS_MAX = 200;

export function twin(observation: Observation): TemplateResult {
  const rows = [
    ...observation.containers.flatMap((container) => container.processes.map((process) => ({ container, process }))),
    ...observation.host.processes.map((process) => ({ container: null, process })),
  ];
  return html`
    <div class="twin-scroll" tabindex="0" role="region" aria-label="Processes as a table">
      <table>
        <thead>
          <tr><th scope="col">Where</th><th scope="col">PID inside</th><th scope="col">PID on the host</th><th scope="col">All its numbers</th><th scope="col">Command</th><th scope="col">Executes</th><th scope="col">User</th></tr>
        </thead>
        <tbody>
          ${rows.slice(0, ROWS_MAX).map(({ container, process }) => line(container, process))}
        </tbody>
      </table>
    </div>
    ${observation.containers.map(walls)}
  `;
}

function line(container: Container | null, process: Process): TemplateResult {
  return html`<tr>
    <td>${container ? container.name || "unknown container" : "lab host"}</td>
    <td>${container || process.pids.length > 1 ? process.pid_inside : "–"}</td>
    <td>${process.pid}</td>
    <td>${process.pids.join(" → ")}</td>
    <td><code>${commandOf(process)}</code></td>
    <td><code>${process.executable.path || "–"}</code></td>
    <td>uid ${process.uid.effective}</td>
  </tr>`;
}

function walls(container: Container): TemplateResult {
  return html`
    <h3>${container.name || "unknown container"}${container.image ? html` <small>${container.image}</small>` : ""}</h3>
    <ul class="wall-list">
      ${NAMESPACE_WALLS.map((wall) => {
        const { shared, inode } = container.namespaces[wall.namespace];
        return html`<li><b>${wall.name}</b> ${shared ? "shared with the host" : "own"} <code>${wall.namespace}:[${inode}]</code></li>`;
      })}
    </ul>
  `;
}
