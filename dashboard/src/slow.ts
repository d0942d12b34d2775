// The slow link: a worker that really does not read. While it is blocked nothing takes messages
// out of the socket, the browser's and the kernel's buffers fill, and the service sees a client
// that is slow: it merges what cannot be sent.
//
// It reads in short turns between long pauses, instead of evenly and slowly: so everything that
// waits in the buffers is taken at once and what follows is the service's newest state.

/** Well below the time after which a service gives up on a client that takes nothing. */
const PAUSE_MS = 4_000;
const TURN_MS = 250;

/** Something to wait on that never comes; null where the browser has no such memory. */
function cell(): Int32Array | null {
  try {
    // Shared memory without cross-origin isolation; it is never handed to anybody.
    return new Int32Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
  } catch {
    return null;
  }
}

const nothing = cell();

/** Blocks this thread, without using the processor where that can be done. */
export function block(ms: number): void {
  if (nothing) {
    Atomics.wait(nothing, 0, 0, ms);
    return;
  }
  const end = performance.now() + ms;
  while (performance.now() < end) { /* Nothing may run here: that is the point. */ }
}

export class SlowLink {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOn = false;

  get isOn(): boolean { return this.#isOn; }

  set(isOn: boolean): void {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    clearTimeout(this.#timer);
    if (isOn) this.#timer = setTimeout(() => this.#pause(), TURN_MS);
  }

  #pause(): void {
    block(PAUSE_MS);
    this.#timer = setTimeout(() => this.#pause(), TURN_MS);
  }
}
