// Builds what the program holds: the page with its styles and script in one file, and the script of the pictures for an
// engine of ECMAScript 5.   node build.mjs FOLDER   writes page.html, pictures.js and assets.cc there.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, transform } from "esbuild";
import ts from "typescript";

const folder = process.argv[2];
if (!folder) throw new Error("usage: node build.mjs FOLDER");
const source = (name) => readFileSync(join("src", name), "utf8");

async function bundled(entry, options) {
  const result = await build({
    entryPoints: [join("src", entry)],
    bundle: true,
    define: { "process.env.NODE_ENV": '"production"' },
    format: "iife",
    write: false,
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
    ...options,
  });
  return result.outputFiles[0].text;
}

// The licences that the packages ask to go with them.
function licences() {
  return ["echarts/LICENSE", "echarts/NOTICE", "zrender/LICENSE", "tslib/LICENSE.txt"]
    .map((file) => `${file}\n\n${readFileSync(join("node_modules", file), "utf8").trim()}`)
    .join("\n\n\n")
    .replaceAll("--", "- -");
}

async function page() {
  const script = await bundled("main.ts", { target: "es2020", minify: true });
  const styles = await transform(source("page.css"), { loader: "css", minify: true });
  return source("page.html")
    .replace("QSWEEP_LICENCES", () => licences())
    .replace("QSWEEP_STYLES", () => styles.code)
    .replace("QSWEEP_SCRIPT", () => script.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--"));
}

// esbuild alone does not lower to ECMAScript 5. Its shortening of syntax puts `in` into the heads of loops, which Duktape
// cannot read, so only names and spaces are shortened.
async function pictures() {
  const modern = await bundled("pictures.ts", { target: "es2018" });
  const options = { target: ts.ScriptTarget.ES5, removeComments: true, downlevelIteration: true, allowJs: true };
  const lowered = ts.transpileModule(modern, { compilerOptions: options }).outputText;
  const short = { target: "es5", minifyWhitespace: true, minifyIdentifiers: true, legalComments: "none" };
  return (await transform(lowered, { ...short, logLevel: "error" })).code;
}

// As a raw string, in pieces that no compiler finds too long; the delimiter is in neither text.
function literal(text) {
  const pieces = text.match(/[^]{1,30000}/gu) ?? [];
  return `${pieces.map((piece) => `R"QSWEEP(${piece})QSWEEP"`).join("\n")}sv`;
}

const [html, script] = await Promise.all([page(), pictures()]);
writeFileSync(join(folder, "page.html"), html);
writeFileSync(join(folder, "pictures.js"), script);
writeFileSync(
  join(folder, "assets.cc"),
  `// Made from src/report/web by build.mjs.
#include "report/assets.h"

namespace qsweep::report {

using namespace std::string_view_literals;

const std::string_view kPage =
${literal(html)};

const std::string_view kPictureScript =
${literal(script)};

}  // namespace qsweep::report
`,
);
