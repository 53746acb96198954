// Writes what stands beside the bundle: third-party licences, and build.json with a SHA-256 over everything it was
// built from (the recipe is repeated, without node, in tests/test_bundle.py). Fails when the tab outgrows its cap.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const CONFIGS = ["bundle.mjs", "package-lock.json", "package.json", "tsconfig.json", "vite.config.mjs"];
// Agreed in the design: about three times the measured skeleton, small beside TensorBoard's own megabytes.
const CAP_BYTES = 150 * 1024;

function files(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

/** SHA-256 over "path NUL content NUL" of every source (tests and fixtures aside) and config, paths POSIX, relative, in code-point order. */
export function sourceDigest() {
  const sources = files(join(ROOT, "src")).filter((path) => !/\.(test|fixture)\.tsx?$/.test(path));
  const paths = [...CONFIGS.map((name) => join(ROOT, name)), ...sources];
  const named = paths.map((path) => [relative(ROOT, path).split(sep).join("/"), path]);
  named.sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash("sha256");
  for (const [name, path] of named) hash.update(name).update("\0").update(readFileSync(path)).update("\0");
  return hash.digest("hex");
}

/** Every package whose code is in the bundle: what package.json depends on, and what those depend on. */
function shippedPackages() {
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  const seen = new Set();
  const visit = (name) => {
    const entry = lock[`node_modules/${name}`];
    if (seen.has(name) || !entry) return;
    seen.add(name);
    Object.keys(entry.dependencies ?? {}).forEach(visit);
  };
  Object.keys(lock[""].dependencies).forEach(visit);
  return [...seen].sort().map((name) => ({ name, version: lock[`node_modules/${name}`].version }));
}

function licenceText({ name, version }) {
  const folder = join(ROOT, "node_modules", name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} ships no licence file; add its text before bundling it`);
  return `${name} ${version}\n${"=".repeat(72)}\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
}

export function bundleManifest(outDir) {
  const out = join(ROOT, outDir);
  return {
    name: "dgm-bundle-manifest",
    apply: "build",
    closeBundle() {
      writeFileSync(join(out, "THIRD_PARTY_LICENSES.txt"), shippedPackages().map(licenceText).join("\n\n"));
      const scripts = readdirSync(out).filter((name) => name.endsWith(".js")).sort();
      const size = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(out, name)), { level: 9 }).length, 0);
      if (size > CAP_BYTES) throw new Error(`the bundle is ${size} bytes gzipped, its cap is ${CAP_BYTES}`);
      const manifest = { sources_sha256: sourceDigest(), files: scripts };
      writeFileSync(join(out, "build.json"), `${JSON.stringify(manifest, null, 2)}\n`);
      console.log(`${scripts.join(", ")}: ${(size / 1024).toFixed(1)} KB gzipped of ${CAP_BYTES / 1024}`);
    },
  };
}
