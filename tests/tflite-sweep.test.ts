/** Operators one by one, in forms that TensorFlow's converter does not write, against the TFLite interpreter; and damaged files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertSound, byteSize, DenseTensor, dtypes, elementCount, isPenjingError, memorySource, toDense, type ValueType } from '@penjing/core';
import { openSafetensors, readTflite } from '@penjing/graph-io';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { modelTable } from '../packages/graph-io/src/tflite/schema.js';
import { flatbufferPlaces } from './support/flatbuffer-places.js';
import { TestSession } from './support/ort-session.js';

const fixtures = fileURLToPath(new URL('./fixtures/tflite-read', import.meta.url));
const { tensors } = await openSafetensors(memorySource(new Uint8Array(readFileSync(join(fixtures, 'sweep.safetensors')))));
const names = [...tensors.keys()].filter((name) => name.endsWith('/model')).map((name) => name.slice(0, -'/model'.length));

async function list(name: string, side: 'in' | 'out'): Promise<DenseTensor[]> {
  const found = [...Array(8).keys()].flatMap((i) => tensors.get(`${name}/${side}.${i}`) ?? []);
  return Promise.all(found.map((tensor) => toDense(tensor)));
}

const bytesOf = async (name: string): Promise<Uint8Array> => tensors.get(`${name}/model`)!.load();
const numbers = (tensor: DenseTensor): number[] => Array.from(tensor.data as ArrayLike<number | bigint>, Number);

function zeros(type: ValueType | undefined): DenseTensor {
  const { dtype, shape } = type as unknown as { dtype: DenseTensor['dtype']; shape: number[] };
  return new DenseTensor(dtype, shape, new Uint8Array(byteSize(dtype, elementCount(shape))));
}

/** Quantized on 8 bits: exact arithmetic gives the very integers. The interpreter resizes uint8 in yet another way. */
const integers = /\.u?int(8|16)$/;
const inexact = new Set(['resize-bilinear.uint8']);

describe('operators one by one', () => {
  test.each(names)('%s', async (name) => {
    // beside float activations, recurrent layers round at every step in exact arithmetic only
    const exact = integers.test(name) || name.endsWith('.hybrid');
    const model = await readTflite(memorySource(await bytesOf(name)), { arithmetic: exact ? 'exact' : 'fast' });
    assertSound(model);
    await using session = await TestSession.load(model);
    const inputs = await list(name, 'in');
    // states of single steps come after the inputs of the file
    const states = model.graph.inputs.slice(inputs.length).map(({ name: state, type }) => [state, zeros(type)] as const);
    const fetched = await session.run(Object.fromEntries([...inputs.map((input, i) => [session.inputs[i]!, input] as const), ...states]));
    for (const [i, expected] of (await list(name, 'out')).entries()) {
      const actual = fetched[session.outputs[i]!]!;
      expect(actual.dtype).toBe(expected.dtype);
      expect(actual.shape).toEqual(expected.shape);
      const wanted = numbers(expected);
      const worst = numbers(actual).reduce((most, value, at) => Math.max(most, Number.isNaN(value) ? Infinity : Math.abs(value - wanted[at]!)), 0);
      expect(worst).toBeLessThanOrEqual(dtypes[expected.dtype].kind === 'float' ? 1e-4 : inexact.has(name) ? 1 : 0);
    }
  });

  test.each(names.filter((name) => /\.u?int8$/.test(name)))('%s within two quanta on the kernels of the runtime', async (name) => {
    await using session = await TestSession.load(await readTflite(memorySource(await bytesOf(name))));
    const inputs = await list(name, 'in');
    const fetched = await session.run(Object.fromEntries(inputs.map((input, i) => [session.inputs[i]!, input])));
    const [expected] = await list(name, 'out');
    const wanted = numbers(expected!);
    const worst = numbers(fetched[session.outputs[0]!]!).reduce((most, value, at) => Math.max(most, Math.abs(value - wanted[at]!)), 0);
    expect(worst).toBeLessThanOrEqual(2);
  });
});

describe('variables', () => {
  test('states of single steps are inputs and outputs of the graph', async () => {
    const model = await readTflite(memorySource(await bytesOf('rnn-step')));
    const [x] = await list('rnn-step', 'in');
    await using session = await TestSession.load(model);
    const port = session.inputs[1]!;
    expect(session.outputs[1]).toBe(`${port}_next`);
    const first = await session.run({ [session.inputs[0]!]: x!, [port]: zeros(model.graph.inputs[1]!.type) });
    const second = await session.run({ [session.inputs[0]!]: x!, [port]: first[session.outputs[1]!]! });
    expect(numbers(first[session.outputs[1]!]!)).toEqual(numbers(first[session.outputs[0]!]!));
    expect(numbers(second[session.outputs[0]!]!)).not.toEqual(numbers(first[session.outputs[0]!]!));
  });
});

/** What makes offsets, counts and indices wrong in ways of their own. */
const values = [0, 1, 2, 3, 5, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff];

test('files with wrong fields are refused by name, or read, and soon', async () => {
  const files = await Promise.all(names.map(async (name) => {
    const bytes = await bytesOf(name);
    return { bytes, places: flatbufferPlaces(bytes, modelTable) };
  }));
  const change = fc.record({ file: fc.nat(files.length - 1), changes: fc.array(fc.record({ at: fc.nat(1 << 20), to: fc.oneof(fc.constantFrom(...values), fc.nat(64)) }), { minLength: 1, maxLength: 3 }) });
  await fc.assert(
    fc.asyncProperty(change, fc.boolean(), async ({ file, changes }, exact) => {
      const { bytes, places } = files[file]!;
      const damaged = bytes.slice();
      const view = new DataView(damaged.buffer);
      for (const { at, to } of changes) {
        const { at: place, width } = places[at % places.length]!;
        if (width === 1) view.setUint8(place, to & 255);
        else if (width === 2) view.setUint16(place, to & 0xffff, true);
        else view.setUint32(place, to >>> 0, true);
      }
      const started = performance.now();
      await readTflite(memorySource(damaged), { arithmetic: exact ? 'exact' : 'fast' }).catch((error: unknown) => {
        if (!isPenjingError(error)) throw error;
      });
      expect(performance.now() - started).toBeLessThan(3000);
    }),
    { numRuns: 600 },
  );
}, 60_000);
