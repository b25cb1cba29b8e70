/** Layouts of 2, 3, 4 and 8 engines give what one engine gives, bit for bit; a worker thread that is killed is replaced, and its work done again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cutBlocks } from '@penjing/parallel';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectSameBits, openCase, ownCases, realCases, replicas, stages, tasks } from './support/layout-cases.js';

const here = ortEngine({ threads: 1, thread: 'calling' });

let scratch = '';
beforeAll(async () => void (scratch = await mkdtemp(join(tmpdir(), 'penjing-exact-'))));
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe.each([...ownCases, ...realCases])('$name', (item) => {
  test.each([2, 3, 4, 8])('%d engines', async (count) => {
    const opened = await openCase(item, join(scratch, item.name));
    const { model, path } = opened;
    await using single = await here.loadFile(path);
    const { rows = [1, 3, 8, 33] } = item;
    await expectSameBits(single, opened, replicas(count), here, rows);
    const most = cutBlocks(model).length;
    expect(most).toBeGreaterThan(1);
    for (const layout of [stages(model, Math.min(count, most), count), tasks(model, Math.min(count, most))]) await expectSameBits(single, opened, layout, here, rows);
  });

  test('nested, in threads of their own', async () => {
    const opened = await openCase(item, join(scratch, item.name));
    const { model, path } = opened;
    await using single = await here.loadFile(path);
    const engine = ortEngine({ threads: 1 });
    await expectSameBits(single, opened, replicas(2, stages(model, 2, 3)), engine, [2, 3]);
    await expectSameBits(single, opened, stages(model, 2, 3, replicas(2)), engine, [2, 3]);
  });
});
