import { expect, test } from 'vitest';
import { onnxLimits } from '../limits.js';
import { checkExternalLocation, externalRange } from './external-location.js';

test.each([
  ['weights.bin', 'weights.bin'],
  ['./model.onnx_data', 'model.onnx_data'],
  ['a//b/./c.bin', 'a/b/c.bin'],
  ['...', '...'],
  ['..data', '..data'],
  ['a..b/..c', 'a..b/..c'],
  ['gewichte ü.bin', 'gewichte ü.bin'],
  ['layer:0.bin', 'layer:0.bin'],
])('%j is inside', (location, expected) => {
  expect(checkExternalLocation(location, onnxLimits)).toBe(expected);
});

test.each([
  '', '.', './', 'a/', 'a/.', '..', '../w', 'a/../../w', 'a/..', '/etc/passwd', '//server/share', '\\\\server\\share', 'a\\..\\b',
  'C:w', 'c:/w', 'C:\\w', 'w\0.bin', 'http://host/w', 'file:///etc/passwd', 'file:/etc/passwd', '*/_ORT_MEM_ADDR_/*',
])('%j is refused', (location) => {
  expect(() => checkExternalLocation(location, onnxLimits)).toThrow(expect.objectContaining({ code: 'E_EXTERNAL_DATA' }) as Error);
});

test('a location has a longest length', () => {
  expect(() => checkExternalLocation('a'.repeat(5000), onnxLimits)).toThrow(expect.objectContaining({ code: 'E_LIMIT' }) as Error);
});

test('a missing length, and 0, are the length of the tensor', () => {
  const entries = (length?: string) => [{ key: 'location', value: 'w' }, ...(length === undefined ? [] : [{ key: 'length', value: length }])];
  for (const length of [undefined, '0', '16']) expect(externalRange(entries(length), 16, 'w', onnxLimits)).toEqual({ location: 'w', offset: 0 });
});
