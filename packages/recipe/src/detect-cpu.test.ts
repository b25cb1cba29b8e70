/** Processors by their flags. */
import { cpuSchemes } from '@penjing/quantize';
import { expect, test } from 'vitest';
import { detectCpu, hasVnni } from './detect-cpu.js';

test.each([
  ['flags\t\t: fpu avx2 avx512f avx512_vnni\n', true],
  ['processor : 0\nflags : fpu avx2 avx_vnni sse\n', true],
  ['flags : fpu avx2 avx512f\n', false],
  ['model name : avx512_vnni\n', false],
  ['', false],
])('%j', (text, vnni) => expect(hasVnni(text)).toBe(vnni));

test('this machine is one of them', () => expect(Object.keys(cpuSchemes)).toContain(detectCpu()));
