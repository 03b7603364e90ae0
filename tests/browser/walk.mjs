// Walks merchants through the Capital section in a real Chromium: from the letter's offer to paid in full, and every other end. A picture of
// each phase at three widths, and axe's rules (WCAG 2.2 AA) on each page. `scripts/walk` starts the demo and runs this.
import assert from "node:assert/strict";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { conclude, found, launch, look as lookAt } from "./look.mjs";

const [simulator, courier, secret, pictures, unsubscribe] = process.argv.slice(2);
// 320 pixels: WCAG 2.2, 1.4.10 Reflow.
const WIDTHS = [{ width: 320, height: 640 }, { width: 390, height: 844 }, { width: 1200, height: 900 }];
const PHONE_AND_DESKTOP = WIDTHS.slice(1);
const browser = await launch();

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

/** Opens the section and looks at it closely. There is no script, so nothing to wait for. */
async function look(account, name, says, { language = "en", colorScheme = "light", widths = WIDTHS } = {}) {
  for (const viewport of widths) {
    const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(section(account, language));
    assert.equal(page.url(), its(account), "the token stayed in the address");
    assert((await page.textContent("body")).includes(says), `${name} does not say “${says}”`);
    await examine(page, `${name}-${language}-${viewport.width}-${colorScheme}`);
    await context.close();
  }
}

/** A phase on phone and desktop, light and dark, in each language. `says` has the words for each. */
async function lookAll(account, name, says) {
  for (const [language, words] of Object.entries(says)) {
    for (const colorScheme of ["light", "dark"]) {
      const widths = language === "en" && colorScheme === "light" ? WIDTHS : PHONE_AND_DESKTOP;
      await look(account, name, words, { language, colorScheme, widths });
    }
  }
}

/** Other pages of an account, reached from its section by what a merchant clicks. */
async function follow(account, name, clicks, { language = "en", colorScheme = "light", print = false } = {}) {
  for (const viewport of PHONE_AND_DESKTOP) {
    const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
    const page = await context.newPage();
    await page.goto(section(account, language));
    for (const click of clicks) await page.click(click);
    await examine(page, `${name}-${language}-${viewport.width}-${colorScheme}`);
    if (print && viewport.width > 1000) await page.pdf({ path: `${pictures}/${name}-${language}.pdf`, format: "A4" });
    await context.close();
  }
}

/** Tab reaches every link, button, summary and select, in the order of the page, and each shows that it has the focus. */
async function tabThrough(account, name) {
  const context = await browser.newContext({ viewport: WIDTHS[1], javaScriptEnabled: true, bypassCSP: true });
  const page = await context.newPage();
  await page.goto(section(account));
  const all = "a[href], button, summary, select";
  const expected = await page.evaluate((all) => [...document.querySelectorAll(all)].filter((one) => one.checkVisibility()).length, all);
  let reached = 0;
  for (; reached < expected; reached += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate((all) => {
      const one = document.activeElement;
      const visible = [...document.querySelectorAll(all)].filter((other) => other.checkVisibility());
      return { at: visible.indexOf(one), outline: getComputedStyle(one).outlineStyle };
    }, all);
    if (focused.at !== reached || focused.outline === "none") { found.push(`${name}: Tab ${reached} leads to ${focused.at}, outline ${focused.outline}`); break; }
  }
  await context.close();
}

async function examine(page, name) {
  await lookAt(page, pictures, name);
  const leaves = () => [...document.querySelectorAll(".card")].some((card) => card.scrollWidth > card.clientWidth);
  if (await page.evaluate(leaves)) found.push(`${name}: text leaves its card`);
  if (await page.evaluate(() => document.scripts.length > 0)) found.push(`${name}: has a script`);
}

const merchant = async (name, country) => (await act("accounts", { name, email: "owner@shop.example", country })).id;

const jenny = await merchant("Jenny’s Bakery", "US");
await lookAll(jenny, "none", { en: "There is no financing offer right now", de: "Zurzeit gibt es kein", fr: "pas d’offre de financement" });
const first = await offer(jenny);
await lookAll(jenny, "offer", { en: "You’re prequalified for up to $10,000", de: "Sie sind vorqualifiziert", fr: "Votre entreprise est préqualifiée" });
await tabThrough(jenny, "offer");

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
await lookAll(jenny, "review", { en: "Your application is under review", de: "Ihr Antrag wird geprüft", fr: "en cours d’examen" });
await press(first, "approve");
await look(jenny, "begun", "$11,000.00");
for (let sale = 0; sale < 25; sale += 1) {
  const amount = 9_000 + sale * 777;
  await act(`accounts/${jenny}/charges`, sale % 2 ? { amount, transfer_amount: amount - 1_000 } : { amount, application_fee: 480 });
}
await pause(3000);
await lookAll(jenny, "progress", { en: "Portion of sales", de: "Anteil am Umsatz", fr: "Part des ventes" });
await tabThrough(jenny, "progress");
for (const [language, all, statements, other] of [
  ["en", "text=All transactions", "text=Statements", "text=Everything but sales"],
  ["de", "text=Alle Buchungen", "text=Monatsübersichten", "text=Ohne Umsatzanteile"],
  ["fr", "text=Toutes les opérations", "text=Relevés", "text=Tout sauf les ventes"],
]) {
  await follow(jenny, "transactions", [all], { language });
  await follow(jenny, "other", [other], { language });
  await follow(jenny, "statement", [statements], { language, print: true });
  await follow(jenny, "statement", [statements], { language, colorScheme: "dark" });
}
await follow(jenny, "week", [".week > summary", "text=transactions of this week"]);
await press(first, "repay");
await lookAll(jenny, "full", { en: "Your financing is paid in full", de: "vollständig bezahlt", fr: "entièrement payé" });

for (const [name, buttons, says] of [
  ["rejected", ["apply", "reject"], "Your application was not approved"],
  ["canceled", ["apply", "cancel"], "Your financing was canceled"],
  ["expired", ["expire"], "Your offer has expired"],
  ["replaced", ["replace"], "This offer takes the place of an earlier one"],
]) {
  const shop = await merchant("Shop", "US");
  await press(await offer(shop), ...buttons);
  await look(shop, name, says);
  await look(shop, name, "", { colorScheme: "dark", widths: PHONE_AND_DESKTOP });
  for (const language of ["de", "fr"]) await look(shop, name, "", { language, widths: PHONE_AND_DESKTOP });
}

const kite = await merchant("Kite & Co", "US");
await press(await offer(kite, { financing_type: "cash_advance" }), "apply", "approve");
for (let sale = 0; sale < 3; sale += 1) await act(`accounts/${kite}/charges`, { amount: 90_000, application_fee: 100 });
await pause(2000);
await lookAll(kite, "advance", { en: "in receivables remaining", de: "an Forderungen noch ausstehend", fr: "de créances restantes" });

const petit = await merchant("Maison Petit", "FR");
await press(await offer(petit), "apply", "approve");
for (let sale = 0; sale < 5; sale += 1) await act(`accounts/${petit}/charges`, { amount: 90_000, application_fee: 100 });
const refill = await offer(petit, { product_type: "refill" });
await pause(1000);
await look(petit, "refill", "votre financement actuel se poursuit", { language: "fr" });
await press(refill, "apply", "approve");
await lookAll(petit, "two-at-once", { fr: "Financement du", en: "Financing of", de: "Finanzierung vom" });
await follow(petit, "two-statement", ["text=Statements"]);

const stranger = await browser.newPage();
await stranger.goto(`${courier}/capital`);
await examine(stranger, "sign-in");

// The unsubscribe page, by the link of a letter.
if (unsubscribe) {
  for (const colorScheme of ["light", "dark"]) {
    for (const viewport of PHONE_AND_DESKTOP) {
      const context = await browser.newContext({ viewport, colorScheme, bypassCSP: true });
      const page = await context.newPage();
      await page.goto(unsubscribe);
      await examine(page, `unsubscribe-ask-${viewport.width}-${colorScheme}`);
      await page.click("button");
      await page.goto(unsubscribe);
      assert((await page.textContent("body")).includes("You’re unsubscribed"), "the page does not know its state");
      await examine(page, `unsubscribe-stopped-${viewport.width}-${colorScheme}`);
      await page.click("button");
      await examine(page, `unsubscribe-again-${viewport.width}-${colorScheme}`);
      await context.close();
    }
  }
}
await browser.close();
conclude(pictures);
