// By hand: opens a page that the program wrote in Chromium, at two widths, light and dark, and tells console errors,
// requests outside, what is wider than the window, and what axe finds; leaves screenshots. Needs the npm packages
// playwright-core and axe-core in a folder of their own, and Chromium:
//
//   node tests/cli/page_check.mjs PAGE.html OUT_FOLDER NODE_MODULES [CHROMIUM]
import {createRequire} from "node:module";
import {resolve, join} from "node:path";

const [page_file, out, modules, chromium_file = "/usr/bin/chromium"] = process.argv.slice(2);
const {chromium} = createRequire(import.meta.url)(resolve(modules, "playwright-core"));
const browser = await chromium.launch({executablePath: chromium_file, args: ["--no-sandbox"]});
let faults = 0;
const tell = (text) => { ++faults; console.log(text); };

for (const width of [400, 1280])
  for (const colorScheme of ["light", "dark"]) {
    const name = `${width}-${colorScheme}`;
    const page = await browser.newPage({viewport: {width, height: 900}, colorScheme});
    page.on("console", (message) => { if (message.type() === "error") tell(`${name}: ${message.text()}`); });
    page.on("pageerror", (error) => tell(`${name}: ${error.stack}`));
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) tell(`${name}: asks for ${request.url()}`);
    });
    await page.goto("file://" + resolve(page_file));
    await page.waitForTimeout(300);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (wide > 0) tell(`${name}: ${wide} pixels wider than the window`);
    const chart = page.locator(".drawn").first();
    if (await chart.count()) {  // values, zoom and back, by mouse and by keys
      const box = await chart.boundingBox();
      await page.mouse.move(box.x + box.width / 2, box.y + 80);
      if (await page.locator(".tip:visible").count() !== 1) tell(`${name}: no value under the pointer`);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width / 1.5, box.y + 80, {steps: 4});
      await page.mouse.up();
      if (await page.locator("button:visible", {hasText: "whole range"}).count() !== 1)
        tell(`${name}: dragging does not zoom`);
      await page.mouse.dblclick(box.x + box.width / 2, box.y + 80);
      await chart.focus();
      for (const key of ["ArrowRight", "ArrowRight", "+", "Escape"]) await page.keyboard.press(key);
      await page.locator("h1").click();
    }
    await page.addScriptTag({path: join(modules, "axe-core/axe.min.js")});
    const {violations} = await page.evaluate(() => axe.run());
    for (const {impact, id, nodes, help} of violations)
      tell(`${name}: axe, ${impact}: ${id}: ${help}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
    await page.screenshot({path: join(out, `${name}.png`), fullPage: true});
    await page.close();
  }
await browser.close();
console.log(faults === 0 ? "no fault" : `${faults} faults`);
process.exit(faults === 0 ? 0 : 1);
