import { chromium } from "playwright-core";
const base = "http://127.0.0.1:8025", dir="/tmp/pics";
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
for (const [to, name] of [["jenny%40bakery.example","jenny"],["lena%40sonnenschein.example","lena"],["owner%40rocket.example","rocket"]]) {
  const html = await (await fetch(`${base}/mailbox?to=${to}`)).text();
  const id = html.match(/\/mailbox\/(letter_[\w-]+|[\w-]{20,})/)[1];
  for (const [w, scheme] of [[640,"light"],[390,"dark"],[390,"light"],[640,"dark"]]) {
    const ctx = await browser.newContext({ viewport: { width: w, height: 900 }, colorScheme: scheme });
    const page = await ctx.newPage();
    await page.goto(`${base}/mailbox/${id}/html?scheme=${scheme}`);
    await page.screenshot({ path: `${dir}/letter-${name}-${w}-${scheme}.png`, fullPage: true });
    await ctx.close();
  }
}
await browser.close();
