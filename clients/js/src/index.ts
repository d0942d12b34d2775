// What `import … from "tickcast"` gives.

export { connect, now } from "./connect.js";
export { TickcastError } from "./fault.js";
export type * from "./types.js";
