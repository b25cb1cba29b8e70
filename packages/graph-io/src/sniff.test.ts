import { expect, test } from 'vitest';
import { sniffFormat } from './sniff.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

test.each([
  ['gguf', 'GGUF\x03\0\0\0'],
  ['tflite', '\x1c\0\0\0TFL3'],
  ['pytorch', 'PK\x03\x04data.pkl'],
  ['pickle', '\x80\x02\x8a\x0a'],
  ['hdf5', '\x89HDF\r\n\x1a\n'],
  ['gzip', '\x1f\x8b\x08'],
  ['safetensors', '\x02\0\0\0\0\0\0\0{}'],
  ['onnx', '\x08\x0a\x12\x07pytorch'],
  ['onnx', '\x3a\x05\x0a\x03'],
  ['unknown', 'hello, world'],
  ['unknown', ''],
] as const)('%s', (name, head) => {
  expect(sniffFormat(bytes(head), 1000)).toBe(name);
});

test('a safetensors header longer than the file is not one', () => {
  expect(sniffFormat(bytes('\xff\xff\0\0\0\0\0\0{'), 1000)).not.toBe('safetensors');
});
