import assert from "node:assert/strict";
import { test } from "node:test";
import { stopClock } from "./clock.ts";
import { Session, type Screen, type SessionState, type Socket } from "../src/term/session.ts";

/** A socket whose other end is the test. */
class FakeSocket implements Socket {
  binaryType: BinaryType = "blob";
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  sent: string[] = [];
  send(data: Uint8Array): void {
    this.sent.push(Buffer.from(data).toString("hex"));
  }
  close(): void {
    this.readyState = 3;
  }
  opens(): void {
    this.readyState = 1;
    this.onopen?.({} as Event);
  }
  breaks(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code } as CloseEvent);
  }
  says(hex: string): void {
    const { buffer } = new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));
    this.onmessage?.({ data: buffer } as MessageEvent);
  }
}

function setUp() {
  const sockets: FakeSocket[] = [];
  const seen = { text: "", restored: 0, replaying: [] as boolean[], states: [] as SessionState["kind"][], pending: [] as (() => void)[] };
  const screen: Screen = {
    cols: 80,
    rows: 24,
    write(bytes, done) {
      seen.text += Buffer.from(bytes).toString();
      seen.pending.push(done);
    },
    restore(bytes, done) {
      seen.restored += 1;
      seen.text = Buffer.from(bytes).toString();
      seen.pending.push(done);
    },
    replaying: (on) => seen.replaying.push(on),
  };
  const events = { state: (s: SessionState) => seen.states.push(s.kind), notice: () => {}, latency: () => {} };
  const connect = () => {
    const socket = new FakeSocket();
    sockets.push(socket);
    return socket;
  };
  let clock = 0;
  const session = new Session("ws://x", screen, events, connect, () => ++clock);
  const shown = () => seen.pending.splice(0).forEach((done) => done());
  return { session, sockets, seen, shown, last: () => sockets.at(-1) as FakeSocket };
}

const output = (seq: number, text: string) => "01" + seq.toString(16).padStart(16, "0") + Buffer.from(text).toString("hex");
const acks = (socket: FakeSocket) => socket.sent.filter((frame) => frame.startsWith("84")).map((frame) => parseInt(frame.slice(2), 16));

test("a fresh session greets from the first byte, and a lost one resumes after the last", () => {
  const clock = stopClock();
  const { session, sockets, seen, last } = setUp();
  session.open();
  last().opens();
  assert.equal(last().sent[0], "81" + "0000000000000000" + "00500018");
  last().says(output(0, "hello"));
  last().breaks();
  assert.equal(seen.states.at(-1), "lost");
  clock.tick(250);
  assert.equal(sockets.length, 2);
  last().opens();
  assert.equal(last().sent[0], "81" + "0000000000000005" + "00500018");
  session.close();
  clock.restore();
});

test("bytes that were seen before are not shown twice", () => {
  const { session, seen, last } = setUp();
  session.open();
  last().opens();
  last().says(output(0, "hello"));
  last().says(output(3, "lo there"));
  last().says(output(0, "hello"));
  assert.equal(seen.text, "hello there");
  session.close();
});

test("output is acknowledged once it is shown, not when it arrives", () => {
  const clock = stopClock();
  const { session, shown, last } = setUp();
  session.open();
  last().opens();
  last().says(output(0, "x".repeat(40_000)));
  assert.deepEqual(acks(last()), []);
  shown();
  assert.deepEqual(acks(last()), [40_000], "much output is acknowledged at once");
  last().says(output(40_000, "y"));
  shown();
  assert.deepEqual(acks(last()), [40_000]);
  clock.tick(30);
  assert.deepEqual(acks(last()), [40_000, 40_001], "little output after a pause");
  session.close();
  clock.restore();
});

test("a snapshot replaces the screen, and output goes on behind it", () => {
  const { session, seen, last } = setUp();
  session.open();
  last().opens();
  last().says(output(0, "old"));
  last().says("02" + "0000000000000064" + "00500018" + Buffer.from("new").toString("hex"));
  last().says(output(100, "er"));
  assert.equal(seen.text, "newer");
  session.close();
});

test("queries are muted while the past is replayed: until a frame that is not full", () => {
  const { session, seen, last } = setUp();
  session.open();
  last().opens();
  const full = 32 * 1024;
  last().says(output(0, "x".repeat(full)));
  last().says(output(full, "y".repeat(full)));
  assert.deepEqual(seen.replaying, [true]);
  last().says(output(2 * full, "$ "));
  assert.deepEqual(seen.replaying, [true, false]);
  session.close();
});

test("where nothing is remembered, queries are muted only for a moment", () => {
  const clock = stopClock();
  const { session, seen, last } = setUp();
  session.open();
  last().opens();
  const ping = last().sent.find((frame) => frame.startsWith("85")) as string;
  last().says("05" + ping.slice(2));
  assert.deepEqual(seen.replaying, [true]);
  clock.tick(200);
  assert.deepEqual(seen.replaying, [true, false]);
  session.close();
  clock.restore();
});

test("after the lab was reset, the terminal begins from nothing", () => {
  const clock = stopClock();
  const { session, seen, last } = setUp();
  session.open();
  last().opens();
  last().says(output(0, "the old lab"));
  last().breaks(4001);
  clock.tick(250);
  last().opens();
  assert.equal(last().sent[0], "81" + "0000000000000000" + "00500018");
  last().says(output(0, "new"));
  assert.equal(seen.text, "new");
  session.close();
  clock.restore();
});

test("input given too early is kept in order, and an ended shell is not reconnected", () => {
  const clock = stopClock();
  const { session, sockets, seen, last } = setUp();
  session.open();
  session.input(Buffer.from("a"));
  session.input(Buffer.from("b"));
  last().opens();
  session.input(Buffer.from("c"));
  assert.deepEqual(last().sent.filter((frame) => frame.startsWith("82")), ["8261", "8262", "8263"]);
  last().says("0300000000");
  assert.equal(seen.states.at(-1), "exited");
  clock.tick(60_000);
  assert.equal(sockets.length, 1);
  clock.restore();
});

test("attempts slow down, and a restart begins from nothing", () => {
  const clock = stopClock();
  const { session, sockets, seen, last } = setUp();
  session.open();
  for (const wait of [250, 500, 1000, 2000, 4000, 4000]) {
    const before = sockets.length;
    last().breaks();
    clock.tick(wait - 1);
    assert.equal(sockets.length, before);
    clock.tick(1);
    assert.equal(sockets.length, before + 1);
  }
  last().opens();
  last().says(output(0, "one life"));
  session.restart();
  last().opens();
  assert.equal(seen.text, "");
  assert.equal(last().sent[0], "81" + "0000000000000000" + "00500018");
  session.close();
  clock.restore();
});
