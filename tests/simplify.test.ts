/** Real models, simplified: the same outputs in ONNX Runtime, no larger file, no more nodes than OnnxSlim leaves. */
import { ortEngine } from '@penjing/runtime';
import { describe, expect, test } from 'vitest';
import { simplifyCorpus, type SimplifyRow } from './tools/simplify-corpus.js';
import { testData } from './tools/test-data.js';

const SAME: readonly SimplifyRow['verdict'][] = ['identical', 'equal-as-written'];

describe.skipIf(!testData)('the models of the shared test material', () => {
  test('give the same outputs and take no more bytes', { timeout: 60_000 }, async () => {
    const rows = await simplifyCorpus(testData!, (id) => id.startsWith('models/'), { engine: ortEngine({ threads: 1 }) });
    expect(rows.length).toBeGreaterThanOrEqual(8);
    for (const { id, verdict, detail, bytes, nodes, warnings } of rows) {
      expect.soft(SAME, `${id}: ${detail}`).toContain(verdict);
      expect.soft(bytes[1], id).toBeLessThanOrEqual(bytes[0]);
      expect.soft(nodes[1], id).toBeLessThanOrEqual(nodes[0]);
      expect.soft(warnings.filter((text) => text.includes('not folded')), id).toEqual([]);
    }
  });
});
