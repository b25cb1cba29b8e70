/** Hostile TorchScript: whatever its code, constants and sizes say, there is a sound model or a typed error, soon. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, isPenjingError, memorySource, type Model, type PenjingError } from '@penjing/core';
import { openTorchScript, type ScriptInput } from '@penjing/graph-io';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ZipPart, zipBytes } from '../packages/graph-io/src/pytorch/testing/zip-bytes.js';
import { openZip } from '../packages/graph-io/src/pytorch/zip.js';

const folder = fileURLToPath(new URL('./fixtures/torchscript', import.meta.url));
const f32 = (...shape: (number | string)[]): ScriptInput => ({ dtype: 'float32', shape });
const inputs: Readonly<Record<string, readonly ScriptInput[]>> = {
  net: [f32(2, 3, 8, 8)], scripted: [f32(3, 4)], choice: [f32('n', 4)], mixed: [f32(2, 3, 4)], loop: [f32(2)],
};
/** What a program of these sizes may take at most: a sound one takes some 30 ms. */
const SECONDS = 5;

const archives = new Map<string, ZipPart[]>();
beforeAll(async () => {
  for (const name of Object.keys(inputs)) {
    const zip = await openZip(memorySource(readFileSync(join(folder, `${name}.pt`))));
    archives.set(name, await Promise.all([...zip.entries.keys()].map(async (path) => ({ name: path, data: await zip.read(path) }))));
  }
});

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const codeOf = (name: string): readonly string[] => archives.get(name)!.map((part) => part.name).filter((path) => path.endsWith('.py'));

function packed(name: string, changed: (path: string, data: Uint8Array) => Uint8Array): Uint8Array {
  return zipBytes(archives.get(name)!.map((part) => ({ ...part, data: changed(part.name, part.data) })), { align: 64 });
}

async function opened(bytes: Uint8Array, given: readonly ScriptInput[]): Promise<Model | PenjingError> {
  const start = performance.now();
  try {
    const model = await openTorchScript(memorySource(bytes), { inputs: given });
    expect(check(model)).toEqual([]);
    return model;
  } catch (error) {
    if (!isPenjingError(error)) throw error;
    return error;
  } finally {
    expect(performance.now() - start).toBeLessThan(SECONDS * 1000);
  }
}

const words = ['self', 'x', 'input', '(', ')', '[', ']', '{', '}', ',', ':', '=', '.', '-', '"a"', '0', '1', '-1', '1.5', '1e400', '9007199254740993', 'None', 'True', 'inf', 'if', 'else', 'for', 'while', 'in', 'return',
  'torch.add', 'torch.append', 'torch.mul', 'torch.size', 'torch.slice', 'torch.format', 'torch.view', 'torch.zeros', 'ops.prim.RaiseException', 'CONSTANTS.c0', 'CONSTANTS.c99', '__torch__', 'getattr', 'annotate', 'range', '\n', '\n  ', '\n      ', '#', '\\', '\u0000'];
const edit = fc.record({
  kind: fc.constantFrom('word' as const, 'drop' as const, 'double' as const, 'swap' as const, 'indent' as const), at: fc.nat(1 << 20), with: fc.nat(1 << 20),
});
type Edit = { readonly kind: string; readonly at: number; readonly with: number };

function edited(code: string, edits: readonly Edit[]): string {
  let result = code;
  for (const { kind, at, with: other } of edits) {
    const pieces = result.split(/([^\w.]+)/);
    const lines = result.split('\n');
    const i = at % pieces.length;
    const line = at % lines.length;
    if (kind === 'word') pieces[i] = words[other % words.length]!;
    else if (kind === 'drop') pieces.splice(i, 1 + (other % 3));
    else if (kind === 'swap') [pieces[i], pieces[other % pieces.length]] = [pieces[other % pieces.length]!, pieces[i]!];
    if (kind === 'double') lines.splice(line, 0, lines[other % lines.length]!);
    else if (kind === 'indent') lines[line] = `${' '.repeat(other % 12)}${lines[line]!.trimStart()}`;
    result = kind === 'double' || kind === 'indent' ? lines.join('\n') : pieces.join('');
  }
  return result;
}

const runs = (count: number): { numRuns: number } => ({ numRuns: Number(process.env['PENJING_FUZZ'] ?? count) });

describe('TorchScript', () => {
  test.each(Object.keys(inputs))('%s with changed code converts or is refused in words', async (name) => {
    await fc.assert(fc.asyncProperty(fc.nat(1 << 20), fc.array(edit, { minLength: 1, maxLength: 4 }), async (which, edits) => {
      const files = codeOf(name);
      const path = files[which % files.length]!;
      await opened(packed(name, (part, data) => (part === path ? new TextEncoder().encode(edited(text(data), edits)) : data)), inputs[name]!);
    }), runs(80));
  }, 600_000);

  test.each(['net', 'scripted'])('%s with other bytes converts or is refused in words', async (name) => {
    const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 3 }), async (edits) => {
      const bytes = packed(name, (_, data) => data);
      for (const [at, value] of edits) bytes[Math.floor(at * bytes.length)] = value;
      await opened(bytes, inputs[name]!);
    }), runs(80));
  }, 600_000);

  test('with other sizes of its input converts or is refused in words', async () => {
    const size = fc.oneof(fc.nat(9), fc.constantFrom<number | string>('n', 'm', 2 ** 31, 2 ** 52));
    await fc.assert(fc.asyncProperty(fc.constantFrom(...Object.keys(inputs)), fc.array(size, { maxLength: 6 }), fc.constantFrom('float32', 'int64', 'bool', 'float16'), async (name, shape, dtype) => {
      await opened(packed(name, (_, data) => data), [{ dtype: dtype as 'float32', shape }]);
    }), runs(120));
  }, 600_000);
});

describe('a method', () => {
  /** The scripted loop with another body. */
  const withBody = async (...lines: readonly string[]): Promise<Model | PenjingError> => {
    const bytes = packed('loop', (path, data) => {
      if (!path.endsWith('.py')) return data;
      const code = text(data);
      const header = code.slice(0, code.indexOf('\n', code.indexOf('def forward')) + 1);
      const rest = code.slice(header.length, code.indexOf('-> Tensor:\n', header.length - 20) + '-> Tensor:\n'.length);
      return new TextEncoder().encode((header.includes('-> Tensor:') ? header : header + rest) + lines.map((line) => `    ${line}\n`).join(''));
    });
    return opened(bytes, [f32(2)]);
  };
  const deep = (count: number, indented: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => '  '.repeat(i) + indented(i));

  test('that is sound converts', async () => {
    expect(await withBody('y = torch.mul(x, 2)', 'return y')).toMatchObject({ graph: expect.anything() as unknown });
  });

  test.each<[what: string, code: string, lines: readonly string[]]>([
    ['that calls itself', 'E_LIMIT', ['return (self).forward(x, )']],
    ['that loops for ever', 'E_LIMIT', ['go = True', 'while go:', '  y = 1', 'return x']],
    ['that loops over 2^50', 'E_LIMIT', ['for i in range(1125899906842624):', '  y = i', 'return x']],
    ['with loops in loops in loops', 'E_LIMIT', [...deep(6, () => 'for i in range(100):'), `${'  '.repeat(6)}y = i`, 'return x']],
    ['that doubles a list 60 times', 'E_LIMIT', ['l = [1]', 'for i in range(60):', '  l = torch.add(l, l)', 'return x']],
    ['that doubles a text 60 times', 'E_LIMIT', ['l = "ab"', 'for i in range(60):', '  l = torch.add(l, l)', 'return x']],
    ['that multiplies a list by 2^50', 'E_LIMIT', ['l = torch.mul([1], 1125899906842624)', 'return x']],
    ['of lists in themselves', 'E_LIMIT', ['l = annotate(List[int], [])', 'k = torch.append(l, l)', 'm = torch.format("{}", l)', 'return l']],
    ['with 5,000 ifs in each other', 'E_LIMIT', [...deep(5000, () => 'if True:'), 'return x']],
    ['with 5,000 brackets', 'E_LIMIT', [`y = ${'('.repeat(5000)}x${')'.repeat(5000)}`, 'return y']],
    ['with 5,000 minus signs', 'E_LIMIT', [`y = ${'-'.repeat(5000)}1`, 'return x']],
    ['of views of views of views', 'E_LIMIT', ['y = x', 'for i in range(20000):', '  y = torch.unsqueeze(torch.squeeze(y), 0)', 'z = torch.add_(y, 1)', 'return z']],
    ['that takes one thing apart into two', 'E_UNSUPPORTED', ['a, b, = x', 'return a']],
    ['that calls a number', 'E_UNSUPPORTED', ['y = 5', 'return y(x, )']],
    ['that reads a constant that is not there', 'E_UNSUPPORTED', ['return CONSTANTS.c7']],
    ['that reads beyond a list', 'E_UNSUPPORTED', ['y = [x][5]', 'return y']],
    ['that raises', 'E_INPUT', ['ops.prim.RaiseException("no", "builtins.ValueError")', 'return x']],
    ['that calls the machine', 'E_UNSUPPORTED', ['return __torch__.os.system("true", )']],
    ['that calls what ATen has not', 'E_UNSUPPORTED', ['return torch.load("x")']],
    ['of half a line', 'E_TORCHSCRIPT', ['y = torch.add(x,', 'return y']],
  ])('%s is refused', async (_, code, lines) => {
    expect(await withBody(...lines)).toMatchObject({ code });
  });
});
