// How the tab is built: stable names, no inlined workers, and a manifest that a test can check without node.
import { defineConfig } from "vite";
import { bundleManifest } from "./bundle.mjs";

const OUT = "../dgm_tb/plugin/static";

export default defineConfig({
  base: "./",
  assetsInclude: ["**/*.bin"],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: {
    format: "es",
    rollupOptions: { output: { entryFileNames: "[name].js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" } },
  },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: false,
    rollupOptions: {
      input: { index: "src/main.ts" },
      // Without this Rollup drops the `render` export, which nothing inside the bundle calls.
      preserveEntrySignatures: "exports-only",
      output: { entryFileNames: "[name].js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
  plugins: [bundleManifest(OUT)],
  server: {
    // The golden files that both sides decode lie in ../tests.
    fs: { allow: [".."] },
    // `npm run dev` shows the data of a TensorBoard that already serves a log directory.
    proxy: { "/data/plugin/dgm": process.env.DGM_TENSORBOARD ?? "http://localhost:6006" },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
