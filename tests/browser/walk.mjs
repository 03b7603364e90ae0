// Walks merchants through the Capital section in a real Chromium: from the letter's offer to paid in full, and every other end. A picture of
// each phase at three widths, and axe's rules (WCAG 2.2 AA) on each page. `scripts/walk` starts the demo and runs this.
import assert from "node:assert/strict";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [simulator, courier, secret, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// 320 pixels: WCAG 2.2, 1.4.10 Reflow.
const WIDTHS = [{ width: 320, height: 640 }, { width: 390, height: 844 }, { width: 1200, height: 900 }];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const found = [];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });

function section(account, language = "en") {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const claims = { sub: account, aud: "capital-courier", iat, exp: iat + 60, jti: randomUUID(), lang: language };
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${courier}/capital?token=${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** The address of an account's section, with nothing of a token. */
const its = (account) => `${courier}/capital?for=${createHash("sha256").update(account).digest("hex").slice(0, 12)}`;

async function act(path, body = {}) {
  const answer = await fetch(`${simulator}/_simulator/${path}`, { method: "POST", body: JSON.stringify(body) });
  assert(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An offer of 10,000 to a new or known account, emailed and marked. */
async function offer(account, more = {}) {
  const { id } = await act("offers", { account, advance_amount: 1_000_000, fee_amount: 100_000, ...more });
  for (let tries = 0; tries < 100; tries += 1) {
    const { offers } = await (await fetch(`${simulator}/_simulator/state`)).json();
    if (offers.find((one) => one.id === id).status === "delivered") return id;
    await pause(200);
  }
  throw new Error(`${id} was never delivered`);
}

async function press(id, ...buttons) {
  for (const button of buttons) await act(`offers/${id}/${button}`);
  await pause(1500);
}

/** Opens the section, waits for nothing (there is no script), and looks at it closely. */
async function look(account, name, says, { language = "en", colorScheme = "light" } = {}) {
  for (const viewport of WIDTHS) {
    const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(section(account, language));
    assert.equal(page.url(), its(account), "the token stayed in the address");
    assert((await page.textContent("body")).includes(says), `${name} does not say “${says}”`);
    await examine(page, `${name}-${viewport.width}-${colorScheme}`);
    await context.close();
  }
}

async function examine(page, name) {
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.push(`${name}: scrolls sideways`);
  const leaves = () => [...document.querySelectorAll(".card")].some((card) => card.scrollWidth > card.clientWidth);
  if (await page.evaluate(leaves)) found.push(`${name}: text leaves its card`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate((rules) => globalThis.axe.run(document, { runOnly: rules }), RULES);
  for (const { id, nodes } of violations) found.push(`${name}: ${id}: ${nodes.map((node) => node.target).join(", ")}`);
}

const merchant = async (name, country) => (await act("accounts", { name, email: "owner@shop.example", country })).id;

const jenny = await merchant("Jenny’s Bakery", "US");
await look(jenny, "none", "There is no financing offer right now");
const first = await offer(jenny);
await look(jenny, "offer", "You’re prequalified for up to $10,000.00");
await look(jenny, "offer", "You’re prequalified", { colorScheme: "dark" });
await look(jenny, "offer-de", "Sie sind vorqualifiziert", { language: "de" });
await look(jenny, "offer-fr", "Votre entreprise est préqualifiée", { language: "fr" });

// By the page's own button to Stripe, and back.
{
  const context = await browser.newContext({ viewport: WIDTHS[0] });
  const page = await context.newPage();
  await page.goto(section(jenny));
  await page.click("text=Start your application");
  assert(page.url().includes("/_connect/capital/"), page.url());
  await page.screenshot({ path: `${pictures}/at-stripe.png`, fullPage: true });
  await page.click("button:has-text('Apply')");
  assert.equal(page.url(), its(jenny));
  await context.close();
  await pause(1500);
}
await look(jenny, "review", "Your application is under review");
await press(first, "approve");
await look(jenny, "begun", "$11,000.00 remaining");
for (let sale = 0; sale < 25; sale += 1) {
  const amount = 9_000 + sale * 777;
  await act(`accounts/${jenny}/charges`, sale % 2 ? { amount, transfer_amount: amount - 1_000 } : { amount, application_fee: 480 });
}
await pause(3000);
await look(jenny, "progress", "Portion of sales");
await look(jenny, "progress", "Portion of sales", { colorScheme: "dark" });
await look(jenny, "progress-de", "Anteil am Umsatz", { language: "de" });
await look(jenny, "progress-fr", "Part des ventes", { language: "fr" });
{
  const context = await browser.newContext({ viewport: WIDTHS[0], bypassCSP: true });
  const page = await context.newPage();
  await page.goto(section(jenny));
  await page.click("text=Older transactions");
  await examine(page, "older");
  await page.click("text=Monthly statement");
  await examine(page, "statement");
  await page.emulateMedia({ media: "print" });
  await page.screenshot({ path: `${pictures}/statement-print.png`, fullPage: true });
  await context.close();
}
await press(first, "repay");
await look(jenny, "full", "Your financing is paid in full");

for (const [name, buttons, says] of [
  ["rejected", ["apply", "reject"], "Your application was not approved"],
  ["canceled", ["apply", "cancel"], "Your financing was canceled"],
  ["expired", ["expire"], "Your offer has expired"],
  ["replaced", ["replace"], "This offer takes the place of an earlier one"],
]) {
  const shop = await merchant("Shop", "US");
  await press(await offer(shop), ...buttons);
  await look(shop, name, says);
}

const petit = await merchant("Maison Petit", "FR");
await press(await offer(petit), "apply", "approve");
for (let sale = 0; sale < 5; sale += 1) await act(`accounts/${petit}/charges`, { amount: 90_000, application_fee: 100 });
const refill = await offer(petit, { product_type: "refill" });
await pause(1000);
await look(petit, "refill", "votre financement actuel se poursuit", { language: "fr" });
await press(refill, "apply", "approve");
await look(petit, "two-at-once", "Reste", { language: "fr" });

const stranger = await browser.newPage();
await stranger.goto(`${courier}/capital`);
await examine(stranger, "sign-in");
await browser.close();

if (found.length > 0) {
  console.error(found.join("\n"));
  process.exit(1);
}
console.log(`nothing found; the pictures are in ${pictures}`);
