// Looks at the demo's mailbox in a real Chromium: the list and every view of a letter at three widths, light and dark, with axe's rules
// (WCAG 2.2 AA), and whether a letter loads anything. Arguments: the address of the demo, and the directory for pictures.
import assert from "node:assert/strict";
import { WIDTHS, conclude, launch, look } from "./look.mjs";

const [demo, pictures] = process.argv.slice(2);
const VIEWS = { html: "", phone: "width=phone", dark: "scheme=dark", "phone-dark": "width=phone&scheme=dark", "no-images": "images=off", text: "view=text", headers: "view=headers", raw: "view=raw" };
const browser = await launch();

async function examine(page, name) {
  await page.frames()[1]?.waitForLoadState();
  await look(page, pictures, name, { fullPage: false, iframes: false });
}

for (const viewport of WIDTHS) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true, javaScriptEnabled: true });
    const page = await context.newPage();
    const suffix = `${viewport.width}-${colorScheme}`;
    await page.goto(`${demo}/mailbox`);
    await examine(page, `list-${suffix}`);
    const letter = await page.locator(".mail-list a").first().getAttribute("href");
    for (const [name, query] of Object.entries(VIEWS)) {
      await page.goto(`${demo}${letter}?${query}`);
      await examine(page, `${name}-${suffix}`);
    }
    await page.goto(`${demo}/mailbox?q=nothing+has+these+words`);
    await examine(page, `nothing-${suffix}`);
    await context.close();
  }
}

// With the policy in force: a letter loads nothing, whatever the browser prefers it has the chosen scheme, and the views work without scripts.
for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ viewport: WIDTHS[2], colorScheme, javaScriptEnabled: false });
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(`${demo}/mailbox`);
  await page.click(".mail-list a");
  await page.click("text=Phone");
  assert.equal((await page.locator("iframe").boundingBox()).width, 375);
  await page.click(".email-options >> text=Dark");
  assert.match(await page.locator("iframe").getAttribute("src"), /scheme=dark/);
  const frame = page.frames()[1];
  await frame.waitForLoadState();
  const [tab] = await Promise.all([context.waitForEvent("page"), frame.locator("a").first().click()]);
  await tab.close();
  for (const url of requests) assert.ok(url.startsWith(demo) || url.startsWith("data:"), url);
  await page.click("text=Headers");
  assert.ok(await page.locator("dt >> text=Feedback-ID").count());
  await context.close();
}
await browser.close();
conclude(pictures);
