// How many bytes an application gets: each entry bundled and minified by esbuild, then gzipped.
//
//   npm run size

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const entries = [
  ["tickcast", 'export { connect } from "./dist/index.js"'],
  ["tickcast and tickcast/protobuf", 'export { connect } from "./dist/index.js"; export { protobuf } from "./dist/protobuf.js"'],
  ["tickcast and tickcast/react", 'export { connect } from "./dist/index.js"; export * from "./dist/react.js"'],
];
for (const [name, contents] of entries) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname },
    bundle: true, minify: true, format: "esm", target: "es2022", write: false, external: ["react"], logLevel: "error",
  });
  const [{ contents: bytes }] = outputFiles;
  console.log(`${name.padEnd(32)} ${String(bytes.length).padStart(7)} bytes minified ${String(gzipSync(bytes, { level: 9 }).length).padStart(6)} bytes gzipped`);
}
