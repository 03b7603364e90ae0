// What the scripts share that look at pages: a Chromium, and axe's rules (WCAG 2.2 AA and best practice) on a page.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** Phone, tablet, desktop. */
export const WIDTHS = [{ width: 390, height: 844 }, { width: 768, height: 1024 }, { width: 1280, height: 900 }];
/** A line for each thing that is wrong. */
export const found = [];

export const launch = () => chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

/** Takes a picture of a page, and adds what is wrong with it. The page's context must bypass its policy, for axe. */
export async function look(page, pictures, name, { fullPage = true, iframes = true } = {}) {
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (overflow > 0) found.push(`${name}: ${overflow} px wider than the screen`);
  await page.evaluate(axe);
  const options = { runOnly: RULES, iframes };
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), options);
  for (const { id, nodes } of violations) found.push(`${name}: ${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
}

/** Says what was found; the process then ends with 1. */
export function conclude(pictures) {
  console.log(found.length ? found.join("\n") : `nothing found; the pictures are in ${pictures}`);
  process.exitCode = found.length ? 1 : 0;
}
