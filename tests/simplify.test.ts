/** Real models, simplified: the same outputs in ONNX Runtime, no larger file, no more nodes than OnnxSlim leaves. */
import { ortEngine } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';
import { expectSame, simplifyCorpus, slimRecords } from './tools/simplify-corpus.js';
import { testData } from './tools/test-data.js';

describe.skipIf(!testData)('the models of the shared test material', () => {
  test('give the same outputs, in no more bytes and no more nodes than OnnxSlim', { timeout: 60_000 }, async () => {
    const rows = await simplifyCorpus(testData!, (id) => id.startsWith('models/'), { engine: ortEngine({ threads: 1 }) });
    expect(rows.length).toBeGreaterThanOrEqual(8);
    const slim = slimRecords();
    for (const row of rows) {
      expectSame(row);
      expect.soft(row.verdict, `${row.id}: ${row.detail}`).toBe('identical');
      expect.soft(row.bytes[1], row.id).toBeLessThanOrEqual(row.bytes[0]);
      expect.soft(row.nodes[1], row.id).toBeLessThanOrEqual(slim[row.id]!.after!.nodes);
      expect.soft(row.warnings.filter((text) => text.includes('not folded')), row.id).toEqual([]);
    }
  });
});
