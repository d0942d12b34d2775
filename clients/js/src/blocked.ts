// Whether WebSockets are blocked where HTTP works, as by some proxies: then event streams serve.

/** After so many WebSockets that did not open it is asked whether HTTP works. */
const UNOPENED_MAX = 2;

export class Blocked {
  /** WebSockets in a row that did not open. */
  #unopened = 0;
  /** HTTP has just been seen to work; one more WebSocket decides. */
  #httpWorks = false;
  /** They were blocked until now: the next one that does not open decides. */
  #wasBlocked = false;
  /** Event streams are to be used. */
  isBlocked = false;

  /** A WebSocket has opened. */
  opened(): void {
    this.#unopened = 0;
    this.#httpWorks = this.#wasBlocked = this.isBlocked = false;
  }

  /** Event streams were lost: maybe WebSockets open again, as in another network. */
  streamsLost(): void {
    this.#wasBlocked ||= this.isBlocked;
    this.isBlocked = false;
  }

  /**
   * A WebSocket did not open; `askHttp` tells whether HTTP works. True: try again at once. One more
   * WebSocket is tried then, since the service may just have come back.
   */
  async unopened(askHttp: () => Promise<boolean>): Promise<boolean> {
    this.#unopened += 1;
    if (this.#httpWorks) {
      this.#httpWorks = false;
      return (this.isBlocked = true);
    }
    if (this.#unopened < (this.#wasBlocked ? 1 : UNOPENED_MAX)) return false;
    const works = await askHttp();
    if (works && this.#wasBlocked) this.isBlocked = true;
    else this.#httpWorks = works;
    return works;
  }
}
