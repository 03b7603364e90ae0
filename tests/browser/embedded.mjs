// Runs the example of docs/embedded.md in a real Chromium, with a stub of Connect.js (which exists at Stripe alone): the backend calls
// the service, the service the simulator's Account Sessions. `scripts/try-embedded` starts the demo and runs this.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chromium } from "playwright-core";

const [simulator, courier, key, picture] = process.argv.slice(2);
const PORT = "4242";
// Like Connect.js it asks for a secret at once, and calls `onLoad` after the page's own script ran or before.
const STUB = `
  const stub = (globalThis.stub = { created: [], secrets: [] });
  globalThis.StripeConnect = Object.assign(globalThis.StripeConnect ?? {}, {
    init({ publishableKey, fetchClientSecret }) {
      stub.key = publishableKey;
      stub.fetch = async () => stub.secrets.push(await fetchClientSecret());
      stub.first = stub.fetch();
      return { create(tag) {
        stub.created.push(tag);
        const element = document.createElement("stripe-connect-" + tag);
        element.textContent = "[" + tag + "]";
        element.setLayout = (layout) => element.setAttribute("layout", layout);
        return element;
      } };
    },
  });
  globalThis.StripeConnect.onLoad?.();
`;

async function act(path, body = {}) {
  const answer = await fetch(`${simulator}/_simulator/${path}`, { method: "POST", body: JSON.stringify(body) });
  assert(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const status = async (id) => {
  const { offers } = await (await fetch(`${simulator}/_simulator/state`)).json();
  return offers.find((one) => one.id === id).status;
};

async function until(what, isDone) {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await isDone()) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`never happened: ${what}`);
}

/** Serves the example to a merchant who is signed in, and runs `look` on its page. */
async function visit(browser, account, look) {
  const backend = spawn(process.execPath, ["docs/examples/embedded/server.mjs", courier, key, PORT, account], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await new Promise((resolve, reject) => {
      backend.stdout.once("data", resolve);
      backend.once("exit", (code) => reject(new Error(`the backend ended: ${code}`)));
    });
    const page = await browser.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    await page.route("https://connect-js.stripe.com/**", (route) => route.fulfill({ contentType: "text/javascript", body: STUB }));
    await page.goto(`http://127.0.0.1:${PORT}/`);
    await page.waitForSelector("html[data-ready]");
    await page.evaluate(() => globalThis.stub.first);
    await look(page);
    assert.deepEqual(errors, []);
    await page.close();
  } finally {
    backend.kill();
  }
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
try {
  // No address, so that the letter is held and the page is the channel that tells the merchant.
  const { id: account } = await act("accounts", { name: "Embedded Eats", country: "US" });
  const { id: offer } = await act("offers", { account, advance_amount: 1_000_000, fee_amount: 100_000 });
  const offers = async () => (await (await fetch(`${courier}/api/v1/accounts/${account}/offers`, { headers: { authorization: `Bearer ${key}` } })).json()).data;
  await until("the service knows the offer", async () => (await offers()).length === 1);
  assert.equal(await status(offer), "undelivered");

  await visit(browser, account, async (page) => {
    const stub = await page.evaluate(() => ({ created: stub.created, secrets: stub.secrets }));
    assert.deepEqual(stub.created.sort(), ["capital-financing", "capital-financing-application", "capital-financing-promotion"]);
    assert.equal(stub.secrets.length, 1);
    assert(stub.secrets[0].length > 20, "the simulator's secret did not arrive");
    await page.evaluate(() => globalThis.stub.fetch());
    const [first, second] = await page.evaluate(() => stub.secrets);
    assert.notEqual(first, second, "an expired session is replaced by a new one");
    assert.equal(await page.getAttribute("#banner > *", "layout"), "banner");
    const text = await page.innerText("#offer");
    for (const words of ["up to $10,000.00", "$1,000.00", "Sample for test mode", "All financing applications are subject to review prior to approval."]) {
      assert(text.includes(words), `the page does not say “${words}”:\n${text}`);
    }
    assert.equal(await page.getAttribute("#offer", "lang"), "en");
    await page.screenshot({ path: picture, fullPage: true });
  });
  await until("the view is reported to Stripe", async () => (await status(offer)) === "delivered");

  // After the application nothing is promoted any more.
  await act(`offers/${offer}/apply`);
  await until("the service knows the application", async () => (await offers())[0].status === "accepted");
  await visit(browser, account, async (page) => {
    assert.deepEqual(await page.evaluate(() => stub.created), ["capital-financing"]);
    assert(!(await page.isVisible("#offer")), "an accepted offer is promoted");
  });
  console.log("the example works");
} finally {
  await browser.close();
}
