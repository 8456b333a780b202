// `lab.term.v1` as the browser speaks it: client frames are encoded, server frames decoded.
// The layout is that of the protocol crate's `terminal` module; both are tested against the same bytes.

export const SUBPROTOCOL = "lab.term.v1";

/** The largest frame either side accepts, in bytes; a paste is split below it. */
export const FRAME_BYTES_MAX = 64 * 1024;

/** Terminal sizes outside 1..=SIZE_MAX are refused by the agent. */
export const SIZE_MAX = 500;

export type ServerFrame =
  | { kind: "output"; seq: number; bytes: Uint8Array }
  | { kind: "snapshot"; seq: number; cols: number; rows: number; screen: Uint8Array }
  | { kind: "exit"; status: number }
  | { kind: "state"; message: string }
  | { kind: "pong"; stamp: number };

export type ClientFrame =
  | { kind: "hello"; lastSeq: number; cols: number; rows: number }
  | { kind: "input"; bytes: Uint8Array }
  | { kind: "resize"; cols: number; rows: number }
  | { kind: "ack"; seq: number }
  | { kind: "ping"; stamp: number };

/** Why bytes are not a frame. */
export class FrameError extends Error {}

/** Reads a server frame. Throws {@link FrameError}. */
export function decode(bytes: Uint8Array): ServerFrame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const opcode = bytes[0];
  const atLeast = (length: number) => {
    if (bytes.length < length) throw new FrameError(`a terminal frame 0x${opcode?.toString(16)} of ${bytes.length} bytes`);
  };
  const exactly = (length: number) => {
    if (bytes.length !== length) throw new FrameError(`a terminal frame 0x${opcode?.toString(16)} of ${bytes.length} bytes`);
  };
  switch (opcode) {
    case undefined:
      throw new FrameError("an empty terminal frame");
    case 0x01:
      atLeast(9);
      return { kind: "output", seq: u64(view, 1), bytes: bytes.subarray(9) };
    case 0x02:
      atLeast(13);
      return { kind: "snapshot", seq: u64(view, 1), cols: view.getUint16(9), rows: view.getUint16(11), screen: bytes.subarray(13) };
    case 0x03:
      exactly(5);
      return { kind: "exit", status: view.getInt32(1) };
    case 0x04:
      return { kind: "state", message: new TextDecoder().decode(bytes.subarray(1)) };
    case 0x05:
      exactly(9);
      return { kind: "pong", stamp: u64(view, 1) };
    default:
      throw new FrameError(`no terminal frame has the opcode 0x${opcode.toString(16)}`);
  }
}

/** Writes a client frame. */
export function encode(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  switch (frame.kind) {
    case "hello": {
      const [bytes, view] = blank(0x81, 12);
      putU64(view, 1, frame.lastSeq);
      view.setUint16(9, size(frame.cols));
      view.setUint16(11, size(frame.rows));
      return bytes;
    }
    case "input": {
      const [bytes] = blank(0x82, frame.bytes.length);
      bytes.set(frame.bytes, 1);
      return bytes;
    }
    case "resize": {
      const [bytes, view] = blank(0x83, 4);
      view.setUint16(1, size(frame.cols));
      view.setUint16(3, size(frame.rows));
      return bytes;
    }
    case "ack": {
      const [bytes, view] = blank(0x84, 8);
      putU64(view, 1, frame.seq);
      return bytes;
    }
    case "ping": {
      const [bytes, view] = blank(0x85, 8);
      putU64(view, 1, frame.stamp);
      return bytes;
    }
  }
}

/** Splits input into frames that the agent accepts. */
export function* inputFrames(bytes: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  const most = FRAME_BYTES_MAX - 1;
  for (let start = 0; start < bytes.length; start += most) {
    yield encode({ kind: "input", bytes: bytes.subarray(start, start + most) });
  }
}

function size(cells: number): number {
  return Math.min(Math.max(Math.trunc(cells), 1), SIZE_MAX);
}

function blank(opcode: number, length: number): [Uint8Array<ArrayBuffer>, DataView] {
  const bytes = new Uint8Array(1 + length);
  bytes[0] = opcode;
  return [bytes, new DataView(bytes.buffer)];
}

// Sequence numbers count bytes of output: 2^53 of them are some years at full speed, so a number holds them.
function u64(view: DataView, at: number): number {
  return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
}

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}
