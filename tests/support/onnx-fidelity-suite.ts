/** The claims of ONNX fidelity over every nth model of the test material, for the default and for the full run. */
import { beforeAll, describe, expect, test } from 'vitest';
import { count, fidelity, type FidelityRow, summary } from '../tools/onnx-fidelity.js';
import { testData } from '../tools/test-data.js';

export interface FidelityFloors {
  /** Models that load in both forms, as the shared material gives it today: nothing drops out silently. */
  readonly loaded: number;
  /** Models of which every output has the same bits. */
  readonly identical: number;
}

export function onnxFidelitySuite(every: number, floors: FidelityFloors): void {
  describe.skipIf(!testData)('ONNX fidelity (needs PENJING_TESTDATA)', () => {
    let rows: FidelityRow[] = [];

    beforeAll(async () => {
      rows = await fidelity(testData!, every);
      console.log(summary(rows));
    }, 600_000);

    test('nothing that ONNX Runtime accepts is refused', () => {
      expect(rows.filter(({ ok, verdict }) => ok && (verdict === 'refused' || verdict === 'original-refused'))).toEqual([]);
    });

    test('every rewritten model loads where the original does', () => {
      expect(rows.filter(({ verdict }) => verdict === 'rewritten-refused' || verdict === 'error')).toEqual([]);
      expect(rows.length - count(rows, 'refused', 'original-refused', 'crash')).toBeGreaterThanOrEqual(floors.loaded);
    });

    test('outputs are bit-identical wherever the original gives the same bits twice', () => {
      expect(rows.filter(({ verdict }) => verdict === 'different')).toEqual([]);
      expect(count(rows, 'identical')).toBeGreaterThanOrEqual(floors.identical);
    });
  });
}
