import { chromium } from "playwright-core";
const [base, dir, ...paths] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox","--disable-gpu"] });
for (const spec of paths) {
  const [path, name, w="1280", scheme="light", full="1"] = spec.split("|");
  const ctx = await browser.newContext({ viewport: { width: +w, height: 900 }, colorScheme: scheme });
  const page = await ctx.newPage();
  page.on("console", m => m.type()==="error" && console.log(name, m.text()));
  await page.goto(base + path); await page.waitForTimeout(400);
  await page.screenshot({ path: `${dir}/${name}.png`, fullPage: full==="1" });
  await ctx.close();
}
await browser.close();
