// Calls to the server's own API: same origin, JSON in and out, failures as sentences.

import type { ApiError } from "../generated/ApiError.ts";

/** A refused or failed call, in the server's words where it had any. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly mend: string | null,
    /** Absent where the server did not answer at all. */
    readonly status?: number,
  ) {
    super(message);
  }
}

/** A call that takes longer than this has failed: resetting a whole lab takes a few seconds at most. */
const CALL_MS_MAX = 30_000;

/** POSTs JSON and returns the JSON answer. Throws {@link Refused}. */
export async function post<T>(path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    });
  } catch {
    throw new Refused("The server does not answer.", "Nothing is lost. The page tries again by itself.");
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return (text === "" ? null : JSON.parse(text)) as T;
}

function refusal(status: number, text: string): Refused {
  try {
    const { message, mend } = JSON.parse(text) as ApiError;
    if (typeof message === "string") return new Refused(message, mend ?? null, status);
  } catch {
    // Not the server's own error: fall through to the status.
  }
  return new Refused(`The server refused (${status}).`, null, status);
}
