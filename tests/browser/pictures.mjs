// The picture of the README: an email, the merchant's page and the console, from the running demo.
import assert from "node:assert/strict";
import { launch } from "./look.mjs";

const [address, pictures] = process.argv.slice(2);
const browser = await launch();

/** A page of the demo without its bar, and without what differs from one run to the next only by its length. */
async function take(path, { width, height, colorScheme }, says) {
  const context = await browser.newContext({ viewport: { width, height }, deviceScaleFactor: 2, colorScheme });
  const page = await context.newPage();
  const answer = await page.goto(address + path);
  assert(answer.ok(), `${path}: ${answer.status()}`);
  assert((await page.textContent("body")).includes(says), `${path} does not say “${says}”`);
  await page.evaluate(() => document.querySelector(".demo-bar")?.remove());
  const picture = (await page.screenshot()).toString("base64");
  await context.close();
  return `data:image/png;base64,${picture}`;
}

async function first(path, pattern) {
  const page = await (await fetch(address + path)).text();
  const found = page.match(pattern);
  assert(found, `${path} has no ${pattern}`);
  return found[1];
}

const jenny = await first("/merchants", /account=(acct_\w+)"[^>]*><strong>Jenny/);
const letter = await first("/mailbox?to=jenny%40bakery.example", /\/mailbox\/(letter_[\w-]+)/);
const message = await first(`/mailbox/${letter}`, /console\/emails\/(letter_\w+)/);

for (const colorScheme of ["light", "dark"]) {
  const email = await take(`/mailbox/${letter}/html?scheme=${colorScheme}`, { width: 640, height: 980, colorScheme }, "$18,000");
  const section = await take(`/dashboard/${jenny}`, { width: 760, height: 980, colorScheme }, "$12,500");
  const evidence = await take(`/console/emails/${message}`, { width: 1100, height: 980, colorScheme }, "SHA-256");
  const page = await browser.newPage({ viewport: { width: 1720, height: 690 }, deviceScaleFactor: 1, colorScheme });
  const ink = colorScheme === "dark" ? "#c9d3df" : "#465160";
  const figure = (picture, width, label) => `<figure style="width:${width}px"><img src="${picture}" alt=""><figcaption>${label}</figcaption></figure>`;
  await page.setContent(`<style>
    body { margin: 0; padding: 24px 20px; display: flex; gap: 24px; justify-content: center; font: 22px/30px "Inter", "Segoe UI", "Liberation Sans", sans-serif; color: ${ink}; background: transparent; }
    figure { margin: 0; } figcaption { text-align: center; padding-top: 14px; }
    img { display: block; width: 100%; height: 590px; object-fit: cover; object-position: top; border-radius: 12px; box-shadow: 0 2px 18px rgb(0 0 0 / 22%); }
  </style>${figure(email, 400, "the email")}${figure(section, 470, "the merchant’s page")}${figure(evidence, 720, "the evidence, in the console")}`);
  await page.screenshot({ path: `${pictures}/overview-${colorScheme}.png`, omitBackground: true });
  await page.close();
}
await browser.close();
