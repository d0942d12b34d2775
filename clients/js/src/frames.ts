// Batches: what changed between two animation frames is told once, at the next one.

/** Where there are no animation frames, ms. */
const FRAME_MS = 16;

type Work = () => void;

/** One loop for all subscriptions of a connection; it only runs while something has changed. */
export class Frames {
  #due = new Set<Work>();
  #isScheduled = false;

  /** Has `work` done once at the next frame. Where a page is hidden there is none until it is shown again. */
  request(work: Work): void {
    this.#due.add(work);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    if (typeof requestAnimationFrame === "function") requestAnimationFrame(this.#run);
    else setTimeout(this.#run, FRAME_MS);
  }

  cancel(work: Work): void {
    this.#due.delete(work);
  }

  readonly #run = (): void => {
    this.#isScheduled = false;
    const due = this.#due;
    this.#due = new Set();
    for (const work of due) work();
  };
}

/** Collects what changed for one listener. Holds each thing once, however often it changes. */
export class Batch<T> {
  #changed = new Set<T>();

  constructor(readonly frames: Frames, readonly listener: (changed: ReadonlySet<T>) => void) {}

  add(thing: T): void {
    if (this.#changed.size === 0) this.frames.request(this.#tell);
    this.#changed.add(thing);
  }

  close(): void {
    this.frames.cancel(this.#tell);
    this.#changed.clear();
  }

  readonly #tell = (): void => {
    const changed = this.#changed;
    this.#changed = new Set();
    if (changed.size > 0) this.listener(changed);
  };
}
