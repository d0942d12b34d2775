// How the page is built: into dist, with relative addresses, so that a proxy may serve it below a
// path; every file a file of its own (nothing inlined), as the service's content policy asks.

import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
});
