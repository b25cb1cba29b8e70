import { expect, test } from 'vitest';
import { clientSignature, renderClient } from './render-client.js';

test('the signature of a file is that of the served model', () => {
  const type = { kind: 'tensor', dtype: 'float32', shape: ['batch', 3] } as const;
  expect(clientSignature('m', [{ name: 'x', type }], [])).toEqual({ name: 'm', inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }], outputs: [] });
  expect(() => clientSignature('m', [{ name: 'x', type: { kind: 'tensor', dtype: 'float32', shape: undefined } }], [])).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED' }));
});

test('names of models and tensors stay what they are: texts', () => {
  const text = renderClient({ name: 'a*/b', inputs: [{ name: "x'\"\n", datatype: 'FP32', shape: [-1, 3] }], outputs: [] }, 'http://a');
  expect(text).toContain('model a* /b,');
  expect(text).toContain('  readonly "x\'\\"\\n": Tensor<readonly [number, 3], Float32Array>;');
});
