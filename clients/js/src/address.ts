// Where the service is: one address given in any of four schemes, and the URLs that follow from it.

const HTTP_OF: Readonly<Record<string, string>> = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" };

export class Address {
  /** Without a slash at its end. */
  readonly http: string;
  readonly webSocket: string;

  /** @throws TypeError that names the address and what is wrong with it. */
  constructor(url: string) {
    const page = (globalThis as { location?: { origin?: string; href?: string } }).location;
    const base = page?.href;
    let parsed: URL;
    try {
      parsed = new URL(url === "" && page?.origin !== undefined ? page.origin : url, base);
    } catch {
      throw new TypeError(`url: "${url}" is not an address such as ws://127.0.0.1:8080`);
    }
    const scheme = HTTP_OF[parsed.protocol];
    if (scheme === undefined) throw new TypeError(`url: "${url}" begins with none of ws, wss, http, https`);
    if (parsed.search !== "") throw new TypeError(`url: "${url}" has a query; a token goes into options.token`);
    const path = parsed.pathname.replace(/(\/v1\/(ws|sse))?\/*$/, "");
    this.http = `${scheme}//${parsed.host}${path}`;
    this.webSocket = `${scheme === "https:" ? "wss:" : "ws:"}//${parsed.host}${path}/v1/ws`;
  }
}
