// What is drawn in which frame, and how often, by a clock and by frames of the test's own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Painter, paced } from "../.test/painter.js";

const FRAME_MS = 16;

/** A page's clock, timers and animation frames. Its time stands still unless it is told to go on. */
class Page {
  now = 1_000;
  #timers = [];
  #frames = [];

  constructor(t) {
    const own = {
      performance: { now: () => this.now },
      setTimeout: (call, ms) => this.#timers.push({ at: this.now + ms, call }),
      requestAnimationFrame: (call) => this.#frames.push(call),
    };
    for (const [name, value] of Object.entries(own)) {
      const before = Object.getOwnPropertyDescriptor(globalThis, name);
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
      t.after(() => before === undefined ? delete globalThis[name] : Object.defineProperty(globalThis, name, before));
    }
  }

  /** How many frames are asked for. */
  get frames() {
    return this.#frames.length;
  }

  /** Draws what has asked for a frame by now. */
  frame() {
    for (const call of this.#frames.splice(0)) call();
  }

  /** Lets time pass, with a frame every 16 ms and each timer when it is due. */
  pass(ms) {
    for (const until = this.now + ms; this.now < until;) {
      this.now += 1;
      const due = this.#timers.filter(({ at }) => at <= this.now);
      this.#timers = this.#timers.filter(({ at }) => at > this.now);
      for (const { call } of due) call();
      if (this.now % FRAME_MS === 0) this.frame();
    }
  }
}

test("the first that is asked for is drawn in the next frame, the next when its time has passed", (t) => {
  const page = new Page(t);
  const drawn = [];
  const ask = paced(100, () => drawn.push(page.now));
  ask();
  assert.deepEqual([page.frames, drawn], [1, []], "it waits for the frame only");
  page.frame();
  assert.deepEqual(drawn, [1_000]);
  page.pass(40);
  ask();
  assert.equal(page.frames, 0, "its time has not come");
  page.pass(59);
  assert.equal(page.frames, 0);
  page.pass(1);
  assert.deepEqual([page.now, page.frames, drawn.length], [1_100, 1, 1], "100 ms after the first, to the millisecond");
  page.pass(4);
  assert.deepEqual(drawn, [1_000, 1_104], "in the frame that follows");
});

test("whoever asks all the time is drawn at the pace, and the last of it is drawn", (t) => {
  const page = new Page(t);
  const drawn = [];
  let newest = 0;
  const ask = paced(100, () => drawn.push([page.now, newest]));
  for (; newest < 1_000; newest += 1) {
    ask();
    page.pass(1);
  }
  const pauses = drawn.slice(1).map(([at], one) => at - drawn[one][0]);
  assert.ok(pauses.every((pause) => pause >= 100 && pause < 100 + FRAME_MS), String(pauses));
  ask();
  page.pass(200);
  const count = drawn.length;
  assert.equal(drawn.at(-1)[1], 1_000);
  page.pass(1_000);
  assert.equal(drawn.length, count, "nobody has asked since");
});

test("who has not asked for long waits for nothing, and two do not wait for each other", (t) => {
  const page = new Page(t);
  const drawn = [];
  const [one, other] = ["one", "other"].map((name) => paced(100, () => drawn.push(name)));
  one();
  page.frame();
  other();
  page.frame();
  assert.deepEqual(drawn, ["one", "other"]);
  page.pass(100);
  one();
  page.frame();
  assert.deepEqual(drawn, ["one", "other", "one"]);
});

test("what asks while it is drawn has the next turn", (t) => {
  const page = new Page(t);
  let drawn = 0;
  const ask = paced(100, () => {
    drawn += 1;
    if (drawn === 1) ask();
  });
  ask();
  page.frame();
  page.frame();
  assert.equal(drawn, 1);
  page.pass(100 + FRAME_MS);
  assert.equal(drawn, 2);
});

test("a frame draws each once, after the news that it brings, and what asks meanwhile has the next", (t) => {
  const page = new Page(t);
  const painter = new Painter();
  const seen = [];
  const draw = () => {
    seen.push("draw");
    if (seen.length < 3) painter.ask(draw);
  };
  painter.afterwards = () => seen.push("afterwards");
  painter.ask(draw);
  painter.ask(draw);
  painter.bring(() => seen.push("news"));
  assert.equal(page.frames, 1);
  page.frame();
  assert.deepEqual(seen, ["news", "draw", "afterwards"]);
  assert.equal(page.frames, 1);
  page.frame();
  assert.deepEqual(seen, ["news", "draw", "afterwards", "draw"]);
  assert.equal(page.frames, 0);
});
