/** Every ONNX model of the shared test material, read and written again, is the same model to ONNX Runtime. */
import { beforeAll, describe, expect, test } from 'vitest';
import { count, fidelity, type FidelityRow, summary } from './tools/onnx-fidelity.js';
import { testData } from './tools/test-data.js';

/** What the shared test material gives today, so that nothing drops out silently. */
const LOADED = 1151;
const IDENTICAL = 1095;

describe.skipIf(!testData)('ONNX fidelity (needs PENJING_TESTDATA)', () => {
  let rows: FidelityRow[] = [];

  beforeAll(async () => {
    rows = await fidelity(testData!, 1);
    console.log(summary(rows));
  }, 600_000);

  test('nothing that ONNX Runtime accepts is refused', () => {
    expect(rows.filter(({ ok, verdict }) => ok && (verdict === 'refused' || verdict === 'original-refused'))).toEqual([]);
  });

  test('every rewritten model loads where the original does', () => {
    expect(rows.filter(({ verdict }) => verdict === 'rewritten-refused' || verdict === 'error')).toEqual([]);
    expect(rows.length - count(rows, 'refused', 'original-refused', 'crash')).toBeGreaterThanOrEqual(LOADED);
  });

  test('outputs are bit-identical wherever the original gives the same bits twice', () => {
    expect(rows.filter(({ verdict }) => verdict === 'different')).toEqual([]);
    expect(count(rows, 'identical')).toBeGreaterThanOrEqual(IDENTICAL);
  });
});
