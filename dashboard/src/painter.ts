// When the page touches its document: once per animation frame. Parts say that they want to draw;
// everything that was said until the frame comes is drawn in it, in one go.

type Draw = () => void;

export class Painter {
  readonly #wanted = new Set<Draw>();
  #news: Draw | null = null;
  #isAsked = false;
  /** Runs after the drawing of a frame that brought news. */
  afterwards: Draw = () => {};

  /** `draw` runs in the next frame, once however often it is asked for. */
  ask(draw: Draw): void {
    this.#wanted.add(draw);
    this.#request();
  }

  /** `news` runs at the beginning of the next frame; what it asks for is drawn in the same one. */
  bring(news: Draw): void {
    this.#news = news;
    this.#request();
  }

  #request(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    requestAnimationFrame(() => this.#flush());
  }

  #flush(): void {
    this.#isAsked = false;
    const news = this.#news;
    this.#news = null;
    news?.();
    // What asks while we draw has the next frame.
    const now = [...this.#wanted];
    this.#wanted.clear();
    for (const draw of now) draw();
    if (news) this.afterwards();
  }
}

export const painter = new Painter();

/** What changes many texts or a whole canvas is drawn no more often: nobody reads it quicker, and the
 * frames between belong to the rest of the page. Different, so that they rarely fall into one frame. */
export const PACE_MS = { ladder: 90, figures: 100, tape: 110, chart: 130 } as const;

/** Gives what asks for `draw` at most once in `ms`; the last of what it was asked for is drawn. */
export function paced(ms: number, draw: Draw): Draw {
  let isAsked = false;
  let last = -Infinity;
  const go = () => {
    isAsked = false;
    last = performance.now();
    draw();
  };
  return () => {
    if (isAsked) return;
    isAsked = true;
    const wait = last + ms - performance.now();
    if (wait <= 0) painter.ask(go);
    else setTimeout(() => painter.ask(go), wait);
  };
}

/** Asks for `draw` at an interval, not while nobody looks. */
export function every(ms: number, draw: Draw): void {
  setInterval(() => document.hidden || painter.ask(draw), ms);
}
