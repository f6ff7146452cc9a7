// Runs tests of test/: node test.mjs unit|browser [PATTERN], where given those whose names match the pattern.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const [name, pattern] = process.argv.slice(2);
const folder = mkdtempSync(join("node_modules", ".test-"));
const outfile = join(folder, "test.mjs");
try {
  await build({ entryPoints: [`test/${name}.test.ts`], bundle: true, platform: "node", format: "esm", packages: "external", outfile, logLevel: "warning" });
  process.exitCode = spawnSync(process.execPath, [...(pattern ? [`--test-name-pattern=${pattern}`] : []), "--test", outfile], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
