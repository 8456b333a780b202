import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, FrameError, inputFrames, FRAME_BYTES_MAX } from "../src/term/frames.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

test("client frames have the protocol's layout", () => {
  assert.equal(hex(encode({ kind: "hello", lastSeq: 2 ** 40 + 9, cols: 80, rows: 24 })), "81" + "0000010000000009" + "0050" + "0018");
  assert.equal(hex(encode({ kind: "input", bytes: bytes("6c730d") })), "826c730d");
  assert.equal(hex(encode({ kind: "resize", cols: 100, rows: 30 })), "830064001e");
  assert.equal(hex(encode({ kind: "ack", seq: 0xfedcba98 })), "8400000000fedcba98");
  assert.equal(hex(encode({ kind: "ping", stamp: 7 })), "850000000000000007");
});

test("sizes are kept within what the agent accepts", () => {
  assert.equal(hex(encode({ kind: "resize", cols: 0, rows: 9999 })), "83000101f4");
});

test("server frames are read", () => {
  assert.deepEqual(decode(bytes("01 0000000100000002 6869")), { kind: "output", seq: 2 ** 32 + 2, bytes: bytes("6869") });
  assert.deepEqual(decode(bytes("02 0000000000000007 0050 0018 1b5b324a")), {
    kind: "snapshot", seq: 7, cols: 80, rows: 24, screen: bytes("1b5b324a"),
  });
  assert.deepEqual(decode(bytes("03 ffffffff")), { kind: "exit", status: -1 });
  assert.deepEqual(decode(bytes("04 c3a4")), { kind: "state", message: "ä" });
  assert.deepEqual(decode(bytes("05 0000000000000003")), { kind: "pong", stamp: 3 });
});

test("what is not a frame is refused", () => {
  for (const bad of ["", "81", "01 00", "02 0000000000000007 0050", "03 00", "05 00000000000000030 0", "ff"]) {
    assert.throws(() => decode(bytes(bad)), FrameError, bad);
  }
});

test("a long paste is split, and loses nothing", () => {
  const paste = new Uint8Array(3 * FRAME_BYTES_MAX).map((_, i) => i % 251);
  const frames = [...inputFrames(paste)];
  assert.equal(frames.length, 4);
  assert.ok(frames.every((frame) => frame.length <= FRAME_BYTES_MAX && frame[0] === 0x82));
  assert.deepEqual(Buffer.concat(frames.map((frame) => frame.subarray(1))), Buffer.from(paste));
});
