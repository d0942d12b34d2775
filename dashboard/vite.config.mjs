// How the page is built: into dist, with relative addresses, so that a proxy may serve it below a
// path; every file a file of its own (nothing inlined), as the service's content policy asks; and
// with the licences of what is in it.

import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

const WITH_THE_PAGE = ["lightweight-charts", "fancy-canvas", "@fontsource-variable/inter"];

function licence(name) {
  const folder = new URL(`node_modules/${name}/`, import.meta.url);
  const { version, license } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
  const head = `${name} ${version}, ${license}\n${"=".repeat(72)}\n\n`;
  try {
    return head + readFileSync(new URL("LICENSE", folder), "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return `${head}(the package has no text of its licence)\n`;
  }
}

const licences = {
  name: "licences",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "licences.txt", source: WITH_THE_PAGE.map(licence).join("\n\n") });
  },
};

export default defineConfig({
  base: "./",
  plugins: [licences],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
});
