/** The page of `penjing serve` in a real browser: what a person does there, with the keyboard, in both colours, sizes and languages. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { accessibilityProblems, chromiumPath, openPage, startChromium, type WatchedPage } from './support/chromium.js';
import { penjing, type Running, startPenjing } from './support/penjing-process.js';
import { doublingModel, pictureModel, writeModel } from './support/served-models.js';
import { TaskFolders } from './support/task-folder.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const sizes = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } };
const views = ['chat', 'complete', 'embed', 'tensors', 'models', 'models/sapling/graph', 'models/sapling/variants', 'models/sapling/signature', 'monitor'];

let folder: string;
let folders: TaskFolders;
let server: Running;
let origin: string;
let browser: Browser;

const canRun = process.env['PENJING_FULL'] !== undefined && chromiumPath !== undefined;

describe.skipIf(!canRun)('the page (skipped without Chromium: install it, or name it in PENJING_BROWSER)', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-page-'));
    folders = await TaskFolders.open();
    await buildPage();
    const sapling = join(folder, 'sapling');
    await run('convert', join(root, 'models/sapling'), '-o', sapling);
    await run('quantize', sapling, '-o', sapling, '--bits', '4');
    await mkdir(join(sapling, 'reports'));
    await writeFile(join(folder, 'held.txt'), 'Now is the winter of our discontent made glorious summer by this sun of York. '.repeat(12));
    await run('compare', sapling, sapling, '--variant', 'q4', '--data', join(folder, 'held.txt'), '--report', join(sapling, 'reports/q4.html'));
    const words = await folders.convert('sentences/bert-mean', 'sentence-similarity');
    const small = await Promise.all([writeModel(join(folder, 'doubling.onnx'), doublingModel(4)), writeModel(join(folder, 'pictures.onnx'), pictureModel())]);
    server = startPenjing(['serve', sapling, `words=${words}`, ...small, '--port', '0', '--log-level', 'warn', '--threads', '1'], { milliseconds: 600_000 });
    let said = '';
    server.process.stderr!.on('data', (chunk) => (said += String(chunk)));
    await vi.waitFor(() => expect(said).toMatch(/^ready: /m), { timeout: 120_000, interval: 50 });
    origin = /listening on (\S+)/.exec(said)![1]!;
    browser = await startChromium();
  }, 300_000);

  afterAll(async () => {
    await browser.close();
    server.process.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
    await folders[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  }, 60_000);

  test.each(Object.entries(sizes))('is without barriers in every view, in light and dark: %s', async (size, options) => {
    const watched = await openPage(browser, origin, options);
    const { page } = watched;
    await fillViews(page);
    for (const view of views) {
      await show(page, view);
      await settle(page);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        expect(await accessibilityProblems(page), `${view}, ${size}, ${colorScheme}`).toEqual([]);
      }
      const [wide, seen] = await page.evaluate<[number, number]>('[document.documentElement.scrollWidth, innerWidth]');
      expect(wide, `${view}, ${size}`).toBeLessThanOrEqual(seen);
    }
    await page.getByRole('button', { name: 'Settings' }).click();
    expect(await accessibilityProblems(page), `settings, ${size}`).toEqual([]);
    await leave(watched);
  });

  test('chats in a stream that can be stopped, by the keyboard alone', async () => {
    const watched = await openPage(browser, origin, sizes.desktop);
    const { page } = watched;
    await show(page, 'chat');
    await page.getByRole('combobox', { name: 'Model' }).waitFor();
    // The first stop of the keyboard leads past the head.
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Skip to content');
    await page.keyboard.press('Enter');
    for (let i = 0; i < 40 && (await focused(page)) !== 'Message'; i++) await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('Message');

    // Slowly, as over a bad line: there is time to see pieces come, and to stop them.
    const network = await page.context().newCDPSession(page);
    const line = { offline: false, latency: 0, uploadThroughput: -1 };
    await network.send('Network.enable');
    await network.send('Network.emulateNetworkConditions', { ...line, downloadThroughput: 6_000 });
    await page.keyboard.type('Speak, sir: what news from the north?');
    await page.keyboard.press('Enter');
    const answer = page.locator('.turn.assistant .said').last();
    const lengths = new Set<number>();
    await vi.waitFor(async () => {
      lengths.add((await answer.textContent())!.length);
      expect(lengths.size).toBeGreaterThan(4);
    }, { timeout: 30_000, interval: 40 });
    for (let i = 0; i < 20 && (await focused(page)) !== 'Stop'; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('stopped', { exact: true }).waitFor();
    await network.send('Network.emulateNetworkConditions', { ...line, downloadThroughput: -1 });

    await page.getByRole('button', { name: 'Answer again' }).click();
    await page.getByText(/tokens\/s/).waitFor();
    await page.getByText(/cut at the token limit|finished/).waitFor();
    expect((await answer.textContent())!.length).toBeGreaterThan(20);
    await leave(watched);
  });

  test('runs models on files that are dropped: a .npy, a text and a picture', async () => {
    const watched = await openPage(browser, origin, sizes.desktop);
    const { page } = watched;
    await show(page, 'tensors');
    await page.getByRole('combobox', { name: 'Model' }).selectOption('doubling');
    await drop(page, 'numbers.npy', '', npy([2, 4], [0, 1, 2, 3, 4, 5, 6, 7]));
    await page.getByText('numbers.npy: [2, 4] FP32').waitFor();
    await page.getByRole('button', { name: 'Run' }).click();
    await expectValues(page, '0  2  4  6  8  10  12  14');

    await drop(page, 'numbers.txt', 'text/plain', Buffer.from('[[-1, 0.5, 3, 4]]'));
    await page.getByText('numbers.txt: [1, 4] FP32').waitFor();
    await page.getByRole('button', { name: 'Run' }).click();
    await expectValues(page, '-2  1  6  8');

    await drop(page, 'broken.npy', '', npy([3, 9], [1]));
    await page.getByRole('alert').getByText('size and shape disagree').waitFor();

    await page.getByRole('combobox', { name: 'Model' }).selectOption('pictures');
    await page.getByRole('heading', { name: 'pixels' }).waitFor();
    // One pixel, RGB 255, 128, 0.
    await drop(page, 'pixel.png', 'image/png', Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP438AAAAQBAYDFKhhdAAAAAElFTkSuQmCC', 'base64'));
    await page.getByRole('combobox', { name: 'Pixel values' }).selectOption('bytes');
    await page.getByRole('button', { name: 'Run' }).click();
    await expectValues(page, '255  128  0');
    await leave(watched);
  });

  test('unloads and loads models, and the playground follows', async () => {
    const watched = await openPage(browser, origin, sizes.phone);
    const { page } = watched;
    await show(page, 'models');
    await page.getByRole('button', { name: 'Unload words' }).click();
    await page.getByRole('button', { name: 'Load words', exact: true }).waitFor();
    await page.getByText('3 of 4 ready').waitFor();
    await show(page, 'embed');
    await page.locator('.empty').getByText('No model can do this').waitFor();
    await show(page, 'models');
    await page.getByRole('button', { name: 'Load words', exact: true }).click();
    await page.getByRole('button', { name: 'Unload words' }).waitFor();
    await show(page, 'embed');
    await page.getByRole('button', { name: 'Compare' }).click();
    await expect.poll(() => page.locator('table.matrix tbody td').allTextContents()).toHaveLength(9);
    await leave(watched);
  });

  test('charts move with what the server does', async () => {
    const watched = await openPage(browser, origin, sizes.desktop);
    const { page } = watched;
    await show(page, 'monitor');
    const chart = (title: string): ReturnType<Page['locator']> => page.locator('figure.chart').filter({ has: page.getByRole('heading', { name: title }) });
    await chart('Memory').locator('path[d*="L"]').first().waitFor();
    const before = await chart('Memory').locator('path').first().getAttribute('d');
    const body = JSON.stringify({ model: 'sapling', prompt: 'ROMEO:', max_tokens: 200 });
    const tensor = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] });
    await expect.poll(async () => {
      await Promise.all([
        ...Array.from({ length: 4 }, () => fetch(`${origin}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })),
        fetch(`${origin}/v2/models/doubling/infer`, { method: 'POST', body: tensor }),
      ]);
      const words = await page.evaluate<string[]>(`[...document.querySelectorAll('.chart svg')].map((one) => one.getAttribute('aria-label'))`);
      return words.filter((text) => /Now:.* [1-9]/.test(text)).map((text) => text.split(' in ')[0]);
    }, { timeout: 120_000, interval: 100 }).toEqual(expect.arrayContaining(['Requests', 'Latency', 'Tokens', 'Queue', 'Batch size', 'Memory']));
    expect(await chart('Memory').locator('path').first().getAttribute('d')).not.toBe(before);
    await leave(watched);
  });

  test('shows graphs with their errors, and reports in the colours of the page', async () => {
    const watched = await openPage(browser, origin, { ...sizes.desktop, colorScheme: 'dark' });
    const { page } = watched;
    await show(page, 'models');
    await page.getByRole('link', { name: 'sapling' }).click();
    await page.getByRole('combobox', { name: 'Graph' }).selectOption({ label: (await page.getByRole('option', { name: /model_q4/ }).textContent())! });
    await page.getByRole('searchbox').fill('q_proj MatMulNBits');
    const row = page.getByRole('row').filter({ hasText: 'model.layers.0.self_attn.q_proj' }).first();
    await expect.poll(() => row.textContent()).toMatch(/dB.*uint8/);
    await page.getByRole('link', { name: 'Variants' }).click();
    const report = page.getByRole('region', { name: 'Report q4' });
    await report.getByRole('heading', { name: 'Comparison' }).waitFor();
    const colours = await page.evaluate<string[]>(`(() => {
      const root = document.querySelector('.report > div:last-child').shadowRoot;
      return [getComputedStyle(root.querySelector('h1')).color, getComputedStyle(document.body).color, getComputedStyle(root.querySelector('svg rect')).fill];
    })()`);
    expect(colours[0]).toBe(colours[1]);
    expect(colours[2]).toBe('rgb(98, 185, 139)');
    await leave(watched);
  });

  test('speaks Chinese and goes dark when asked to, also next time', async () => {
    const watched = await openPage(browser, origin, sizes.phone);
    const { page } = watched;
    await show(page, 'chat');
    const paper = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor');
    const light = await paper();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByRole('radio', { name: 'Dark' }).check();
    await page.getByRole('radio', { name: '中文' }).check();
    await page.keyboard.press('Escape');
    await page.reload();
    expect(await page.evaluate('document.documentElement.lang')).toBe('zh-Hans');
    expect(await paper()).not.toBe(light);
    for (const view of views) {
      await show(page, view);
      await settle(page);
      expect(await page.title(), view).toMatch(/[\u4e00-\u9fff]|sapling/);
      expect(await page.locator('#page').textContent(), view).toMatch(/[\u4e00-\u9fff]{2}/);
    }
    expect(await accessibilityProblems(page)).toEqual([]);
    await leave(watched);
  });
});

async function run(...argv: string[]): Promise<void> {
  const { code, stderr } = await penjing([...argv, '--quiet'], { milliseconds: 240_000 });
  expect(code, `${argv.join(' ')}\n${stderr}`).toBe(0);
}

/** The page is the one thing that the server does not take from its sources. */
async function buildPage(): Promise<void> {
  const app = join(root, 'apps/server');
  const vite = join(dirname(createRequire(join(app, 'package.json')).resolve('vite/package.json')), 'bin/vite.js');
  await promisify(execFile)(process.execPath, [vite, 'build'], { cwd: app });
  expect(existsSync(join(app, 'dist/web/index.html'))).toBe(true);
}

async function show(page: Page, view: string): Promise<void> {
  await page.goto(`/#/${view}`);
}

/** Until what the view reads has come. */
async function settle(page: Page): Promise<void> {
  await page.locator('main :is(h1, h2, form, table)').first().waitFor({ state: 'attached' });
  await expect.poll(() => page.locator('main [aria-busy="true"], main .card.empty').count(), { timeout: 30_000 }).toBe(0);
}

/** Something in every playground: an answer, a continuation, a matrix, an output. */
async function fillViews(page: Page): Promise<void> {
  await show(page, 'chat');
  await page.getByRole('textbox', { name: 'Message', exact: true }).fill('Who is there?');
  await page.keyboard.press('Enter');
  await page.getByText(/tokens\/s/).waitFor();
  await show(page, 'complete');
  await page.getByRole('textbox', { name: 'Beginning of the text' }).fill('ROMEO:');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('button', { name: 'Go on from here' }).waitFor();
  await show(page, 'embed');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.locator('table.matrix').waitFor();
  await show(page, 'tensors');
  await page.getByRole('combobox', { name: 'Model' }).selectOption('doubling');
  await page.getByRole('button', { name: 'random values' }).click();
  await page.getByRole('button', { name: 'Run' }).click();
  await page.locator('pre.values').waitFor();
}

async function drop(page: Page, name: string, type: string, bytes: Buffer): Promise<void> {
  const dataTransfer = await page.evaluateHandle(`(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob('${bytes.toString('base64')}'), (letter) => letter.charCodeAt(0))], '${name}', { type: '${type}' }));
    return transfer;
  })()`);
  await page.locator('.drop').dispatchEvent('drop', { dataTransfer });
}

function expectValues(page: Page, values: string): Promise<void> {
  return expect.poll(() => page.locator('pre.values').allTextContents(), { timeout: 15_000 }).toEqual([values]);
}

/** A .npy file of float32, as numpy.save writes it. */
function npy(shape: readonly number[], values: readonly number[]): Buffer {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`.padEnd(117);
  return Buffer.concat([Buffer.from('\u0093NUMPY\u0001\u0000v\u0000', 'latin1'), Buffer.from(`${header}\n`), Buffer.from(Float32Array.from(values).buffer)]);
}

/** The name of what has the focus. */
async function focused(page: Page): Promise<string> {
  return page.evaluate<string>(`document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()`);
}

async function leave({ page, complaints }: WatchedPage): Promise<void> {
  expect(complaints).toEqual([]);
  await page.context().close();
}
