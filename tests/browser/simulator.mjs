// Looks at the simulator's pages in a real Chromium: axe's rules (WCAG 2.2 AA and best practice) and a picture of each, at three widths,
// light and dark. `scripts/walk-simulator` starts the example `dashboard` and runs this.
import assert from "node:assert/strict";
import { WIDTHS, conclude, found, launch, look as lookAt } from "./look.mjs";

const [simulator, pictures] = process.argv.slice(2);
const browser = await launch();

const examine = (page, name) => lookAt(page, pictures, name);

/** A page at every width, light and dark. `path` is asked for each time: an Account Link opens once. */
async function look(name, path) {
  for (const viewport of WIDTHS) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
      const page = await context.newPage();
      page.on("console", (message) => message.type() === "error" && found.push(`${name}: ${message.text()}`));
      await page.goto(`${simulator}${await path()}`);
      await examine(page, `${name}-${viewport.width}-${colorScheme}`);
      await context.close();
    }
  }
}

async function link(account, type) {
  const body = new URLSearchParams({ account, type, refresh_url: "http://127.0.0.1/again", return_url: "http://127.0.0.1/done" });
  const headers = { authorization: "Bearer sk_test_platform" };
  const answer = await fetch(`${simulator}/v1/account_links`, { method: "POST", body, headers });
  assert(answer.ok, await answer.clone().text());
  return new URL((await answer.json()).url).pathname;
}

const { offers } = await (await fetch(`${simulator}/_simulator/state`)).json();
const accounts = [...new Set(offers.map((offer) => offer.account))];
for (const [number, account] of accounts.entries()) await look(`merchant-${number + 1}`, () => `/_simulator/?account=${account}`);
await look("all", () => `/_simulator/?account=${accounts[0]}&feed=all&after=1`);
await look("chooser", () => "/dashboard");
const open = offers.find((offer) => offer.status === "delivered");
if (open) await look("apply", () => link(open.account, "capital_financing_offer"));
const paying = offers.find((offer) => offer.status === "paid_out");
if (paying) await look("financing", () => link(paying.account, "capital_financing_reporting"));

// With the script a form changes the page in place, and keeps the focus.
const page = await browser.newPage();
await page.goto(`${simulator}/_simulator/?account=${paying.account}`);
await page.evaluate(() => (window.isTheSame = true));
await page.focus("#do-week");
await page.keyboard.press("Enter");
await page.waitForFunction(() => /7 days passed/.test(document.getElementById("feed").textContent));
assert(await page.evaluate(() => window.isTheSame), "the page was loaded anew");
await page.waitForFunction(() => !document.getElementById("do-week").disabled);
await examine(page, "after-a-week");
await browser.close();
conclude(pictures);
