// The bundles: the extension for the extension host, and the chat view's script and style for its webview.
import { existsSync } from "node:fs";
import { build } from "esbuild";

const common = { bundle: true, minify: true, sourcemap: false, logLevel: "warning", legalComments: "external" };

await build({
  ...common,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.cjs",
  platform: "node",
  format: "cjs",
  target: "node22",
  external: ["vscode"],
});

if (existsSync("src/view/web/main.ts")) {
  await build({
    ...common,
    entryPoints: { view: "src/view/web/main.ts" },
    outdir: "dist",
    platform: "browser",
    format: "iife",
    target: "es2022",
  });
}
