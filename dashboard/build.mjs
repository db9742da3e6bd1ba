// Builds dist/, which the C++ build embeds. `node build.mjs --check` fails where dist/ is not what the sources give.
import { build } from "esbuild";
import { readFile, writeFile, mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
process.chdir(here);

const result = await build({
  entryPoints: { app: "src/main.tsx" },
  bundle: true,
  minify: true,
  charset: "ascii",
  target: "es2022",
  format: "iife",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  write: false,
  outdir: "dist",
});
const files = new Map(result.outputFiles.map((file) => [path.basename(file.path), file.text]));
for (const name of ["index.html", "icon.svg"]) files.set(name, await readFile(path.join("src", name), "utf8"));

let stale = 0;
await mkdir("dist", { recursive: true });
for (const [name, text] of files) {
  const at = path.join("dist", name);
  if (process.argv.includes("--check")) {
    if ((await readFile(at, "utf8").catch(() => "")) !== text) {
      console.error(`dashboard/${at} is not what the sources give: npm run build in dashboard/, and commit it`);
      stale = 1;
    }
  } else {
    await writeFile(at, text);
    console.log(`${at} ${text.length}`);
  }
}
process.exit(stale);
