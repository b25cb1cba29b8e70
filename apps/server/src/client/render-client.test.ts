import { expect, test } from 'vitest';
import { clientSignature, parseSignature, renderClient } from './render-client.js';

test('the signature of a file is that of the served model', () => {
  const type = { kind: 'tensor', dtype: 'float32', shape: ['batch', 3] } as const;
  expect(clientSignature('m', [{ name: 'x', type }], [])).toEqual({ name: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [] });
  expect(() => clientSignature('m', [{ name: 'x', type: { kind: 'tensor', dtype: 'float32', shape: undefined } }], [])).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
});

test('what the protocol cannot carry is left out of the outputs, as a server does', () => {
  const odd = [{ name: 'h', type: { kind: 'tensor', dtype: 'int4', shape: [2] } }, { name: 's', type: { kind: 'sequence', element: { kind: 'tensor', dtype: 'float32', shape: [2] } } }] as never;
  expect(clientSignature('m', [], odd)).toEqual({ name: 'm', inputs: [], outputs: [] });
  expect(() => clientSignature('m', odd, [])).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
});

test('names of tensors stay what they are: texts', () => {
  const text = renderClient({ name: 'a', inputs: [{ name: "x'\"\n", datatype: 'FP32', shape: [-1, 3] }], outputs: [] }, 'http://a');
  expect(text).toContain('  readonly "x\'\\"\\n": Tensor<readonly [number, 3], Float32Array>;');
});

test.each([
  ['a name that ends the comment', { name: 'a*/evil()/*' }],
  ['a name that goes up', { name: '..' }],
  ['a shape that is code', { inputs: [{ name: 'x', datatype: 'FP32', shape: ['2]}; evil(); ({x:[2'] }] }],
  ['a size below -1', { inputs: [{ name: 'x', datatype: 'FP32', shape: [-2] }] }],
  ['a datatype of every object', { outputs: [{ name: 'x', datatype: 'constructor', shape: [] }] }],
  ['a datatype that ends the comment', { outputs: [{ name: 'x', datatype: '*/evil()/*', shape: [] }] }],
  ['a name that is no text', { outputs: [{ name: { toJSON: 1 }, datatype: 'FP32', shape: [] }] }],
])('%s becomes no code', (_what, hostile) => {
  const said = { name: 'a', inputs: [], outputs: [], ...hostile };
  expect(() => parseSignature(said)).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
  expect(() => renderClient(said as never, 'http://a')).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
});
