// What `import … from "tickcast"` gives.

export type * from "./types.js";
