// Server-sent events out of a byte stream's text (HTML standard, section 9.2.6).

export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** A line that is longer is none of this service (its longest message has 16 MiB). */
const LINE_CHARACTERS_MAX = 1 << 25;

const LINE_FEED = 10;

export class EventParser {
  /** The line that has begun. */
  #rest = "";
  #event = "";
  #data: string[] = [];
  /** The last line ended with a carriage return: a line feed that follows belongs to it. */
  #skipsFeed = false;

  constructor(readonly listener: (event: ServerEvent) => void) {}

  /**
   * Takes text in as it comes, cut anywhere.
   *
   * @throws RangeError for a line without an end.
   */
  push(text: string): void {
    let start = this.#skipsFeed && text.startsWith("\n") ? 1 : 0;
    if (text !== "") this.#skipsFeed = false;
    let feed = text.indexOf("\n", start);
    let carriage = text.indexOf("\r", start);
    while (feed >= 0 || carriage >= 0) {
      const isCarriage = carriage >= 0 && (feed < 0 || carriage < feed);
      const end = isCarriage ? carriage : feed;
      const line = this.#rest + text.slice(start, end);
      this.#rest = "";
      start = end + 1;
      if (isCarriage && text.charCodeAt(start) === LINE_FEED) start += 1;
      else if (isCarriage && start === text.length) this.#skipsFeed = true;
      this.#line(line);
      if (feed >= 0 && feed < start) feed = text.indexOf("\n", start);
      if (carriage >= 0 && carriage < start) carriage = text.indexOf("\r", start);
    }
    this.#rest += text.slice(start);
    if (this.#rest.length > LINE_CHARACTERS_MAX) throw new RangeError(`a line longer than ${LINE_CHARACTERS_MAX}`);
  }

  #line(line: string): void {
    if (line === "") {
      const event = { event: this.#event === "" ? "message" : this.#event, data: this.#data.join("\n") };
      const isEmpty = this.#data.length === 0;
      this.#event = "";
      this.#data = [];
      if (!isEmpty) this.listener(event);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    // `id` is not needed: what is held says where it stands. `retry` neither: the link waits.
  }
}
