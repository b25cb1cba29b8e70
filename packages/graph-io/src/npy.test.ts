import { DenseTensor, denseOf, PenjingError } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readNpy, writeNpy } from './npy.js';

describe('npy', () => {
  test('round trips every shape', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }), (shape) => {
        const count = shape.reduce((product, dim) => product * dim, 1);
        const tensor = denseOf('float32', shape, Array.from({ length: count }, (_, i) => i / 7));
        const bytes = writeNpy(tensor);
        const back = readNpy(bytes);
        expect([back.dtype, back.shape, [...back.bytes]]).toEqual([tensor.dtype, tensor.shape, [...tensor.bytes]]);
        expect((bytes.length - tensor.byteLength) % 64).toBe(0);
      }),
    );
  });

  test('header as numpy 2 writes it', () => {
    const text = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
    const file = Uint8Array.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length, 0, ...new TextEncoder().encode(text), 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    expect([...(readNpy(file).data as BigInt64Array)]).toEqual([5n, 6n]);
  });

  test('bytes of any kind give a tensor or a typed error', () => {
    const sound = writeNpy(denseOf('int32', [3], [1, 2, 3]));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 8 }), fc.nat(sound.length), (edits, cut) => {
        const bytes = sound.slice(0, cut || sound.length);
        for (const [at, byte] of edits) if (at < bytes.length) bytes[at] = byte;
        try {
          expect(readNpy(bytes)).toBeInstanceOf(DenseTensor);
        } catch (error) {
          expect(error).toBeInstanceOf(PenjingError);
        }
      }),
    );
  });
});
