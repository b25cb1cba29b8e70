/** The reference engine against what ONNX Runtime computes for com.microsoft operators (tests/fixtures/reference, peers/ops). */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { DenseTensor, type DType, GraphBuilder, inferShapes, Model, tensorType } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';

interface Packed { readonly dtype: DType; readonly shape: readonly number[]; readonly data: string }

interface Case {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  /** Relative to 1 for floats, absolute for integers. */
  readonly tolerance: number;
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>;
  readonly inputs: readonly (Packed | null)[];
  readonly outputs: Readonly<Record<string, Packed>>;
}

const cases = JSON.parse(readFileSync(new URL('fixtures/reference/contrib.json', import.meta.url), 'utf8')) as Case[];
/** Attributes that are floats even where their value is whole. */
const floats = new Set(['activation_alpha', 'activation_beta', 'alpha', 'epsilon', 'scale', 'softcap', 'swiglu_limit']);

const unpack = ({ dtype, shape, data }: Packed): DenseTensor => new DenseTensor(dtype, shape, new Uint8Array(Buffer.from(data, 'base64')));

it.each(cases)('$name', async (test) => {
  const model = new Model();
  model.opsetImports.set('', 21);
  model.opsetImports.set('com.microsoft', 1);
  const b = new GraphBuilder(model.graph);
  const feeds: Record<string, DenseTensor> = {};
  const inputs = test.inputs.map((input, i) => {
    if (!input) return null;
    feeds[`i${i}`] = unpack(input);
    return b.input(`i${i}`, tensorType(input.dtype, input.shape));
  });
  const count = Math.max(...Object.keys(test.outputs).map(Number)) + 1;
  const names = Array.from({ length: count }, (_, i) => (test.outputs[i] ? `o${i}` : ''));
  const attributes = Object.fromEntries(Object.entries(test.attributes).map(([key, value]) =>
    [key, floats.has(key) ? { kind: 'float' as const, value: value as number } : value]));
  const outputs = b.nodes(test.op, inputs, attributes, { domain: test.domain, outputs: names });
  outputs.forEach((value) => value.name && model.graph.outputs.push(value));
  expect(inferShapes(model).gaps).toEqual([]);
  await using executor = await referenceEngine().load(model);
  const results = await executor.run(feeds);
  for (const [i, expected] of Object.entries(test.outputs)) {
    const ours = results[`o${i}`] as DenseTensor;
    expect([ours.dtype, ours.shape]).toEqual([expected.dtype, expected.shape]);
    const type = outputs[Number(i)]!.type;
    expect(type).toMatchObject({ dtype: expected.dtype });
    if (type?.kind === 'tensor') for (const [d, dim] of (type.shape ?? []).entries()) if (typeof dim === 'number') expect(dim).toBe(expected.shape[d]);
    const [x, y] = [ours, unpack(expected)].map(({ data }) => Array.from(data as ArrayLike<number | bigint>, Number)) as [number[], number[]];
    const worst = y.reduce((max, value, at) => Math.max(max, Math.abs(value - x[at]!) / (test.tolerance >= 1 ? 1 : Math.max(1, Math.abs(value)))), 0);
    expect(worst, `output ${i}`).toBeLessThanOrEqual(test.tolerance);
  }
});
