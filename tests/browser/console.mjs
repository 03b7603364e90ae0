// Looks at the console in a real Chromium: every page at three widths, light and dark, with axe's rules (WCAG 2.2 AA), and by the keyboard
// alone. Arguments: the address of ops.listen, ops.token, the directory for pictures, and further paths to look at.
import assert from "node:assert/strict";
import { WIDTHS, conclude, launch, look } from "./look.mjs";

const [ops, token, pictures, ...more] = process.argv.slice(2);
const browser = await launch();

async function signIn(page) {
  await page.goto(`${ops}/console`);
  await page.fill("[name=name]", "Ada Lovelace");
  await page.fill("[name=token]", token);
  await page.click("button");
  await page.waitForSelector("nav.menu");
}

const examine = (page, name) => look(page, pictures, name, { fullPage: false, iframes: false });

const first = await browser.newPage();
await signIn(first);
const paths = await first.$$eval("nav.menu a", (links) => links.map((link) => link.getAttribute("href")));
await first.close();
for (const viewport of WIDTHS) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(`${ops}/console/sign-in`);
    await examine(page, `sign-in-${viewport.width}-${colorScheme}`);
    await signIn(page);
    for (const path of [...paths, "/console/addresses", "/console/search?q=nothing", ...more]) {
      const name = path.replace(/[^a-z]+/gi, "-").slice(1, 48);
      await page.goto(`${ops}${path}`);
      await examine(page, `${name}-${viewport.width}-${colorScheme}`);
      const act = page.locator("details.act > summary").first();
      if (await act.count()) {
        await act.click();
        await examine(page, `${name}-act-${viewport.width}-${colorScheme}`);
      }
    }
    await context.close();
  }
}

// By the keyboard alone, with the policy of the pages in force.
const context = await browser.newContext({ viewport: WIDTHS[2] });
const page = await context.newPage();
const errors = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
await signIn(page);
await page.goto(`${ops}${paths[0]}`);
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
await page.keyboard.press("/");
assert.equal(await page.evaluate(() => document.activeElement.name), "q");
await page.keyboard.press("Escape");
await page.keyboard.press("j");
await page.keyboard.press("j");
assert.equal(await page.locator(".chosen").count(), 1);
assert.deepEqual(errors, []);
await browser.close();
conclude(pictures);
