/** Layouts give what one engine gives, bit for bit: small models here, larger ones and real threads in the full suite. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { expectSameBits, openCase, ownCases, replicas, stages, tasks } from './support/layout-cases.js';

// on this thread: one of its own takes seconds to start from sources
const engine = ortEngine({ threads: 1, thread: 'calling' });

let scratch = '';
beforeAll(async () => void (scratch = await mkdtemp(join(tmpdir(), 'penjing-exact-'))));
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe.each(ownCases)('$name', (item) => {
  test('replicas, stages, tasks, and replicas of stages', async () => {
    const opened = await openCase(item, join(scratch, item.name));
    const { model, path } = opened;
    await using single = await engine.loadFile(path);
    for (const layout of [replicas(2), stages(model, 2, 2), tasks(model, 3), replicas(2, stages(model, 2, 2))]) await expectSameBits(single, opened, layout, engine, [1, 5, 8]);
  });
});
