/** Quantized models on ONNX Runtime and on the reference engine, against products with the dequantized weights. */
import { assertSound, cloneModel, type Engine, inferShapes, type Model, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { quantizeWeights } from '@penjing/quantize';
import { testEngine } from './ort-session.js';
import { expect, test } from 'vitest';
import { dequantized, type FloatType, floats, quantizableModel, relativeError, type Scheme } from './quantized-model.js';

export interface NumericCase extends Scheme {
  readonly format: 'qoperator' | 'qdq';
  readonly dtype: FloatType;
  readonly condition: boolean;
}

/** Level 1 and the reference engine only differ in the order of additions; level 4 rounds the activations to int8. */
const TOLERANCE = { float32: { exact: 1e-5, int8: 1e-2 }, float16: { exact: 4e-3, int8: 2e-2 } } as const;

export function numericCase(name: string, { format, dtype, condition, ...scheme }: NumericCase): void {
  test(name, async () => {
    // In standard form float16 weights of subgraphs are left alone.
    const branches = format === 'qoperator' || dtype === 'float32';
    const { model, feeds, expected } = await quantizableModel(dtype, scheme.bits === 2 && format === 'qdq' ? 25 : 21, condition, branches);
    const layout = format === 'qdq' ? 'linear' : 'nbits';
    const run = async (engine: Engine, quantized: Model): Promise<Record<string, Float64Array>> => {
      await using executor = await engine.load(quantized);
      const fetched = await executor.run(feeds);
      const entries = await Promise.all(Object.entries(fetched).map(async ([key, value]) => [key, await floats(await toDense(value))] as const));
      return Object.fromEntries(entries);
    };
    const quantize = async (accuracyLevel: 1 | 4): Promise<Model> => {
      const { model: result, records } = await quantizeWeights({ ...scheme, format, accuracyLevel }).run(cloneModel(model), {});
      assertSound(result);
      const left = records.filter(({ method }) => method === 'none').map(({ name: weight }) => weight);
      expect(left).toEqual(format === 'qdq' ? ['w.table'] : []);
      return result;
    };
    // Standard form leaves the looked-up table as it is.
    const wanted = await expected((matrix) =>
      format === 'qdq' && matrix.shape[1] === 256 ? floats(matrix) : dequantized(matrix, scheme, layout));
    const close = (actual: Record<string, Float64Array>, tolerance: number): void => {
      for (const [output, values] of Object.entries(wanted)) {
        expect(relativeError(actual[output]!, values), output).toBeLessThanOrEqual(output === 'lookup' ? lookupTolerance : tolerance);
      }
    };
    // A lookup only multiplies once, in the type of the table.
    const lookupTolerance = dtype === 'float32' ? 0 : 1e-3;
    const { exact, int8 } = TOLERANCE[dtype];
    const level1 = await quantize(1);
    inferShapes(level1);
    close(await run(referenceEngine(), level1), exact);
    close(await run(testEngine(), level1), format === 'qdq' ? int8 : exact);
    if (format === 'qoperator') close(await run(testEngine(), await quantize(4)), int8);
  });
}
