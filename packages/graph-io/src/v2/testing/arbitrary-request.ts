/** Arbitrary requests for the property tests of the codecs. */
import { byteSize, DenseTensor, encodeText, StringTensor } from '@penjing/core';
import fc from 'fast-check';
import { expect } from 'vitest';
import { v2Datatypes, v2Types } from '../datatypes.js';
import type { InferRequest, V2Parameters, V2Tensor } from '../infer.js';

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Same names, dtypes, shapes, bytes and parameters. */
export function sameTensors(actual: readonly V2Tensor[], expected: readonly V2Tensor[]): void {
  const plain = ({ name, tensor, parameters }: V2Tensor): object => ({
    name, parameters, dtype: tensor.dtype, shape: [...tensor.shape], bytes: tensor.kind === 'dense' ? [...tensor.bytes] : tensor.values.map((value) => [...value]),
  });
  expect(actual.map(plain)).toEqual(expected.map(plain));
}

/** Without lone surrogates, which UTF-8 cannot say. */
const isWellFormed = (text: string): boolean => !/[\ud800-\udfff]/u.test(text);

const name = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }).filter(isWellFormed);
const parameters = fc.dictionary(
  fc.constantFrom('priority', 'timeout', '__proto__', 'sequence_id', 'x y'),
  fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true })), { maxKeys: 3 },
).map((value): V2Parameters | undefined => (Object.keys(value).length > 0 ? { ...value } : undefined));

function tensor(json: boolean): fc.Arbitrary<DenseTensor | StringTensor> {
  const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
  const types = fc.constantFrom(...v2Datatypes.filter((type) => !json || (type !== 'FP16' && type !== 'BF16')));
  return fc.tuple(types, shapes).chain(([type, shape]): fc.Arbitrary<DenseTensor | StringTensor> => {
    const count = shape.reduce((product, dim) => product * dim, 1);
    if (type === 'BYTES') {
      const text = json ? fc.string({ maxLength: 6, unit: 'grapheme' }).filter(isWellFormed).map(encodeText) : fc.uint8Array({ maxLength: 6 });
      return fc.array(text, { minLength: count, maxLength: count }).map((values) => new StringTensor(shape, values));
    }
    const { dtype } = v2Types[type];
    const length = byteSize(dtype, count);
    const bytes = type === 'BOOL' ? fc.uint8Array({ minLength: length, maxLength: length, max: 1 }) : fc.uint8Array({ minLength: length, maxLength: length });
    return bytes.map((raw) => new DenseTensor(dtype, shape, json && type.startsWith('FP') ? finite(dtype, shape, raw) : raw));
  });
}

/** Arbitrary bits but for NaN and infinities; -0 stands as "0" in a joined list, so it is left out as well. */
function finite(dtype: DenseTensor['dtype'], shape: readonly number[], raw: Uint8Array): Uint8Array {
  const data = new DenseTensor(dtype, shape, raw).data as Float32Array;
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i]) || data[i] === 0) data[i] = 1.5;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Requests with tensors of every datatype; `json`: only what JSON can say. */
export function arbitraryRequest({ json = false } = {}): fc.Arbitrary<InferRequest> {
  const input = fc.record({ name, tensor: tensor(json), parameters }).map(({ parameters: own, ...rest }): V2Tensor => ({ ...rest, ...(own && { parameters: own }) }));
  return fc.record({
    id: fc.option(name, { nil: undefined }), parameters,
    inputs: fc.uniqueArray(input, { maxLength: 4, selector: (item) => item.name }),
    outputs: fc.option(fc.uniqueArray(name, { minLength: 1, maxLength: 3 }), { nil: undefined }),
  }).map(({ id, parameters: own, inputs, outputs }) => ({
    ...(id !== undefined && { id }), ...(own && { parameters: own }), inputs, ...(outputs && { outputs: outputs.map((output) => ({ name: output })) }),
  }));
}
