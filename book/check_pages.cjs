// Open every page of the built book in headless Chromium and say what a reader would trip over: requests that leave the
// page, failed requests, console errors, formulas that did not render or hold a TeX error, and pages wider than the
// window. Exit code 1 if there is any. Screenshots of whole pages go to OUT.
//
//   npm install playwright-core && node book/check_pages.cjs book/_build/html OUT 1300,390 [part of a page's name]
//
// Chromium comes from the system, `CHROMIUM=/path/to/chromium` if it is not /usr/bin/chromium.
const { chromium } = require('playwright-core');
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path');

const [, , root, out, widths = '1300', part = ''] = process.argv;
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.png': 'image/png',
  '.svg': 'image/svg+xml', '.woff': 'font/woff', '.woff2': 'font/woff2', '.json': 'application/json' };

const server = http.createServer((request, response) => {
  fs.readFile(path.join(root, decodeURIComponent(request.url.split('?')[0])), (error, content) => {
    if (error) { response.statusCode = 404; return response.end(); }
    response.setHeader('content-type', types[path.extname(request.url.split('?')[0])] || 'application/octet-stream');
    response.end(content);
  });
});

const pagesBelow = (folder) => fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
  const full = path.join(folder, entry.name);
  if (entry.isDirectory()) return entry.name.startsWith('_') ? [] : pagesBelow(full);
  return entry.name.endsWith('.html') ? [path.relative(root, full)] : [];
});

async function check(context, base, page, width) {
  const tab = await context.newPage(), found = [];
  const local = (url) => url.startsWith(base) || url.startsWith('data:') || url.startsWith('blob:');
  tab.on('request', (request) => { if (!local(request.url())) found.push(`leaves the page: ${request.url()}`); });
  tab.on('response', (response) => { if (response.status() >= 400) found.push(`${response.status()}: ${response.url()}`); });
  tab.on('console', (message) => { if (message.type() !== 'log') found.push(`console ${message.type()}: ${message.text()}`); });
  tab.on('pageerror', (error) => found.push(`error: ${error.message}`));
  await tab.goto(`${base}/${page}`, { waitUntil: 'load' });
  if (await tab.evaluate(() => document.querySelector('script[src*=mathjax]') !== null)) {
    await tab.waitForFunction(() => window.MathJax?.startup?.promise, { timeout: 30000 });
    await tab.evaluate(() => window.MathJax.startup.promise);
  }
  await tab.waitForTimeout(200);
  const { sources, rendered, errors, raw, overflow } = await tab.evaluate(() => ({
    sources: document.querySelectorAll('.math').length,
    rendered: document.querySelectorAll('mjx-container').length,
    errors: document.querySelectorAll('mjx-merror').length,
    raw: (document.querySelector('article, main, body').innerText.match(/\\mathcal|\\begin\{/g) || []).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
  }));
  if (rendered < sources) found.push(`${sources - rendered} of ${sources} formulas did not render`);
  if (errors) found.push(`${errors} TeX errors`);
  if (raw) found.push(`${raw} pieces of raw TeX`);
  if (overflow > 0) found.push(`${overflow} pixels wider than the window`);
  await tab.screenshot({ path: path.join(out, `${width}-${page.replace('.html', '').replaceAll('/', '_')}.png`), fullPage: true });
  await tab.close();
  return found;
}

(async () => {
  fs.mkdirSync(out, { recursive: true });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const base = `http://127.0.0.1:${server.address().port}`;
  let problems = 0, checked = 0;
  for (const width of widths.split(',').map(Number)) {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, viewport: { width, height: 950 },
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync'],
    });
    for (const page of pagesBelow(root).filter((name) => name.includes(part))) {
      const found = await check(context, base, page, width);
      checked += 1; problems += found.length;
      for (const problem of found) console.log(`${page} at ${width}: ${problem}`);
    }
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
  server.close();
  console.log(`${checked} page views, ${problems} problems`);
  process.exit(problems ? 1 : 0);
})();
