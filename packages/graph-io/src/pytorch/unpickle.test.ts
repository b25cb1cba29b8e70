import { isPenjingError } from '@penjing/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { torchRules } from './allowlist.js';
import { PickleEndsEarly } from './pickle-machine.js';
import { unpickle } from './unpickle.js';
import { isDict, itemsOf, type PyValue } from './values.js';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const read = (text: string): PyValue => unpickle(bytes(text), torchRules('x.pt'), 'x.pt').value;

/** As plain JSON-like data. */
function plain(value: PyValue): unknown {
  if (isDict(value)) return Object.fromEntries([...value.entries].map(([key, child]) => [typeof key === 'string' ? key : '?', plain(child)]));
  if (value instanceof Uint8Array) return [...value];
  const items = itemsOf(value);
  if (items) return items.map(plain);
  if (typeof value === 'object' && value !== null && 'kind' in value) return value.kind === 'global' ? `<${value.name}>` : value.kind === 'object' ? { type: value.type, args: value.args.map(plain), state: plain(value.state) } : value.kind;
  return value;
}

describe('pickles of Python', () => {
  // Each written by CPython: pickle.dumps(value, protocol).
  test.each<[string, string, unknown]>([
    ['protocol 0', "(lp0\nI1\naI01\naF2.5\naVh\\u00e9\np1\naNaL12345678901234567890L\na.", [1, true, 2.5, 'h\u00e9', null, 12345678901234567890n]],
    ['protocol 0, a string of Python 2', "S'a\\'b\\n\\x41'\np0\n.", "a'b\nA"],
    ['protocol 1', '}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02)u.', { a: 1, b: [] }],
    ['protocol 2', '\x80\x02]q\x00(\x88\x89NJ\xff\xff\xff\xffM\x00\x01\x8a\x01\x80G?\xf8\x00\x00\x00\x00\x00\x00e.', [true, false, null, -1, 256, -128, 1.5]],
    ['protocol 3', '\x80\x03C\x02hiq\x00.', [104, 105]],
    ['protocol 4', '\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94\x8f\x94(K\x01K\x02\x90\x8c\x01b\x94(K\x01K\x02\x91\x94u.', { a: [1, 2], b: [1, 2] }],
    ['protocol 5', '\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00ab\x94.', [97, 98]],
    ['a large integer', '\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.', 0x1950a86a20f9469cfc6cn],
    ['values that stand twice', '\x80\x02]q\x00(]q\x01K\x05ah\x01e.', [[5], [5]]],
    ['an ordered dict', '\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aK\x01u}q\x02X\x09\x00\x00\x00_metadata}sb.', { a: 1 }],
    ['bytes of Python 3 for Python 2', '\x80\x02c_codecs\nencode\nq\x00X\x03\x00\x00\x00a\xc3\xbfX\x06\x00\x00\x00latin1\x86R.', [97, 255]],
    ['an object of an unknown class', '\x80\x02cmine\nThing\n)\x81}X\x01\x00\x00\x00nK\x03sb.', { type: 'mine.Thing', args: [], state: { n: 3 } }],
    ['a function by name', '\x80\x02ctorch.nn.functional\nrelu\n.', '<torch.nn.functional.relu>'],
    ['a NumPy scalar', "\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbc_codecs\nencode\nX\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc3\xb8?X\x06\x00\x00\x00latin1\x86R\x86R.", 1.5],
  ])('%s', (_, text, value) => {
    expect(plain(read(text))).toEqual(value);
  });
});

describe('pickles that want more than data', () => {
  const command = 'X\x02\x00\x00\x00ls';
  test.each<[string, string, string]>([
    ['os.system', `\x80\x02cos\nsystem\n${command}\x85R.`, 'os.system'],
    ['os.system by another name', `\x80\x02cposix\nsystem\n${command}\x85R.`, 'posix.system'],
    ['builtins.eval', `\x80\x03cbuiltins\neval\n${command}\x85R.`, 'builtins.eval'],
    ['__builtin__.eval', `c__builtin__\neval\n(S'1'\ntR.`, '__builtin__.eval'],
    ['getattr', `\x80\x03cbuiltins\ngetattr\n${command}${command}\x86R.`, 'builtins.getattr'],
    ['STACK_GLOBAL', `\x80\x04\x8c\x02os\x8c\x06system\x93${command}\x85R.`, 'os.system'],
    ['a class by INST', `(S'ls'\nios\nsystem\n.`, 'os.system'],
    ['a class by OBJ', `(cos\nsystem\n${command}o.`, 'os.system'],
    ['a new object by NEWOBJ', `\x80\x02cos\nsystem\n${command}\x85\x81.`, 'os.system'],
    ['an import at any depth', `\x80\x02cimportlib.machinery\nSourceFileLoader\n)R.`, 'importlib.machinery.SourceFileLoader'],
    ['a function of torch', `\x80\x02ctorch.hub\nload\n${command}\x85R.`, 'torch.hub.load'],
    ['a class nobody knows', `\x80\x02cmine\nThing\n)R.`, 'mine.Thing'],
    ['a chain of calls', `\x80\x02cfunctools\nreduce\ncmine\nf\n]\x86R.`, 'functools.reduce'],
    ['the dict of an object', `\x80\x02cmine\nThing.__dict__.update\n)R.`, 'mine.Thing.__dict__.update'],
    ['a prototype of JavaScript', `\x80\x02c__proto__\nconstructor\n)R.`, '__proto__.constructor'],
  ])('%s', (_, text, name) => {
    let error: unknown;
    try {
      read(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: 'E_UNSAFE', details: { global: name } });
    expect(String(error)).toContain(name);
  });

  test.each<[string, string, RegExp]>([
    ['an unknown instruction', '\x80\x02\xff.', /byte 2 is 0xff/],
    ['an extension registry', '\x80\x02\x82\x01.', /0x82/],
    ['an unknown protocol', '\x80\x09N.', /protocol 9/],
    ['an empty stack', '\x80\x02.', /empty stack/],
    ['a mark that is not there', '\x80\x02t.', /needs a mark/],
    ['a memory that is not there', '\x80\x02h\x05.', /value 5/],
    ['a call of a number', '\x80\x02K\x01)R.', /calls 1/],
    ['arguments that are none', '\x80\x02ccollections\nOrderedDict\nK\x01R.', /1 stands where arguments should/],
    ['state of a number', '\x80\x02K\x01}b.', /sets the state of 1/],
    ['a key without a value', '\x80\x02}(K\x01u.', /key has no value/],
    ['text that is none', '\x80\x02X\x01\x00\x00\x00\xff.', /not UTF-8/],
    ['something outside that is no storage', '\x80\x02X\x01\x00\x00\x00aQ.', /refers to "a" outside/],
    ['a storage of a class that is none', '\x80\x02(X\x07\x00\x00\x00storagecos.path\njoin\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.', /os.path.join/],
    ['a storage of an unknown type', '\x80\x02(X\x07\x00\x00\x00storagectorch\nBigStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.', /torch.BigStorage/],
  ])('%s', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});

describe('bombs', () => {
  test.each<[string, () => string]>([
    ['a memo of lists of lists', () => '\x80\x02]q\x00' + ('(' + 'h\x00'.repeat(100) + 'lq\x00').repeat(50_000) + '.'],
    ['calls that copy', () => '\x80\x02]q\x00(' + 'N'.repeat(100_000) + 'e' + 'cbuiltins\nlist\nq\x01' + 'h\x01h\x00\x85R0'.repeat(100_000) + '.'],
    ['a stack', () => '\x80\x02' + 'N'.repeat(2_000_000) + '.'],
    ['marks', () => '\x80\x02' + '('.repeat(6_000_000) + '.'],
    ['an integer of a million digits', () => '\x80\x02\x8b\x00\x00\x10\x00' + 'x'.repeat(1 << 20) + '.'],
  ])('%s: stopped', (_, text) => {
    const start = performance.now();
    expect(() => read(text())).toThrow(expect.objectContaining({ code: 'E_LIMIT' }) as Error);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

test('anything is data, or refused in words', () => {
  const chars = '\x80\x02\x03\x04\x05\x95.(012N\x88\x89IJKLMFGSTUVXBC\x8a\x8b\x8c\x8d\x8e\x96)]}\x8ft\x85\x86\x87ld\x91ae\x90supqr\x94ghjc\x93R\x81\x92biPQ\n\x00\x01\'os0storage';
  const soup = fc.array(fc.oneof(fc.constantFrom(...chars), fc.constantFrom('ccollections\nOrderedDict\n', 'cbuiltins\nlist\n', 'ctorch._utils\n_rebuild_tensor_v2\n', 'X\x01\x00\x00\x00a', 'h\x00', ')R', 'q\x00')), { maxLength: 60 });
  fc.assert(fc.property(soup, (parts) => {
    try {
      read(parts.join('') + '.');
    } catch (error) {
      if (!isPenjingError(error) && !(error instanceof PickleEndsEarly)) throw error;
    }
  }), { numRuns: 3000 });
});
