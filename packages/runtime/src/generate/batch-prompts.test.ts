import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BatchPrompt, countPrompts, readPrompts, type WrongPrompt } from './batch-prompts.js';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-prompts-'))));
afterAll(() => rm(folder, { recursive: true }));

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function read(name: string, content: string | Uint8Array): Promise<(BatchPrompt | WrongPrompt)[]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const found = await all(readPrompts(path));
  expect(await countPrompts(path)).toBe(found.length);
  return found;
}

describe('lines of text', () => {
  test('are prompts, whatever ends them, without those that are blank', async () => {
    expect(await read('a.txt', '\ufeffone \r\n\n  \t\ntwo\n"three"')).toEqual([{ prompt: 'one ' }, { prompt: 'two' }, { prompt: '"three"' }]);
    expect(await read('empty.txt', '')).toEqual([]);
  });

  test('may be cut anywhere by the pieces that the file comes in', async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'é€𝄞'.repeat(i % 13)}`);
    expect(await read('long.txt', lines.join('\n'))).toEqual(lines.map((prompt) => ({ prompt })));
  });

  test('that are too long or no UTF-8 are told, and the others read', async () => {
    const bytes = Buffer.concat([Buffer.from('good\n'), Buffer.alloc(2 ** 24 + 1, 'x'), Buffer.from('\n'), Buffer.from([0xff, 0x41, 0x0a]), Buffer.from('last')]);
    const found = await read('wrong.txt', bytes);
    expect(found.map((item) => ('error' in item ? item.error.code : item.prompt))).toEqual(['good', 'E_LIMIT', 'E_DATA', 'last']);
    expect((found[2] as WrongPrompt).error.message).toContain('wrong.txt:3 is not UTF-8');
  });
});

describe('lines of JSON', () => {
  test('are texts, or objects with a prompt and options', async () => {
    const lines = [
      '"one"', '{"text":"two","id":7}', '{"prompt":"three","id":"c","temperature":0.5,"stop":"x","topK":null}', '{"messages":[{"role":"user","content":"hello"}],"maxNewTokens":3}',
      '{"tokens":[0,5],"stop":["a","b"],"stopTokens":[3],"ignoreEndToken":true,"logitBias":{"4":-1},"constrain":{"regex":"a+"}}',
    ];
    expect(await read('a.jsonl', lines.join('\n'))).toEqual([
      { prompt: 'one' },
      { id: 7, prompt: 'two', options: {} },
      { id: 'c', prompt: 'three', options: { temperature: 0.5, stop: ['x'] } },
      { prompt: { messages: [{ role: 'user', content: 'hello' }] }, options: { maxNewTokens: 3 } },
      { prompt: [0, 5], options: { stop: ['a', 'b'], stopTokens: [3], ignoreEndToken: true, logitBias: new Map([[4, -1]]), constrain: { regex: 'a+' } } },
    ]);
  });

  test.each([
    ['{"prompt"', 'is not JSON'], ['[1]', 'is no text and no object'], ['null', 'is no text and no object'], ['{}', 'has no prompt'], ['{"prompt":"a","text":"b"}', 'has prompt and text'],
    ['{"prompt":1}', 'has prompt that is not a text'], ['{"messages":[]}', 'has messages that is not a list of messages'], ['{"messages":[{"content":"x"}]}', 'has messages'], ['{"tokens":["a"]}', 'has tokens'],
    ['{"prompt":"a","max_tokens":3}', 'has "max_tokens", which is no option; options are maxNewTokens'], ['{"prompt":"a","constructor":3}', 'has "constructor"'], ['{"prompt":"a","__proto__":{"topK":1}}', 'has "__proto__"'],
    ['{"prompt":"a","onText":3}', 'has "onText"'], ['{"prompt":"a","temperature":"hot"}', 'has temperature that is not a number'], ['{"prompt":"a","stop":[1]}', 'has stop'], ['{"prompt":"a","logitBias":[1]}', 'has logitBias'],
    ['{"prompt":"a","id":{}}', 'has an id'], ['{"toString":1}', 'has no prompt'],
  ])('%s is told with its place', async (line, message) => {
    const [first, second] = await read('wrong.jsonl', `"fine"\n${line}\n`);
    expect(first).toEqual({ prompt: 'fine' });
    expect((second as WrongPrompt).error).toMatchObject({ code: 'E_DATA', hint: expect.any(String) as string });
    expect((second as WrongPrompt).error.message).toContain(`wrong.jsonl:2 ${message}`);
  });

  test('that are wrong keep their id', async () => {
    expect(await read('id.jsonl', '{"id":"x","prompt":3}')).toMatchObject([{ id: 'x', error: { code: 'E_DATA' } }]);
  });
});

test('other files are refused, and those that are not there', async () => {
  await expect(readPrompts('a.csv').next()).rejects.toMatchObject({ code: 'E_FORMAT' });
  await expect(readPrompts(join(folder, 'none.txt')).next()).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(countPrompts(join(folder, 'none.txt'))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});

test('reading ends with its signal', async () => {
  const path = join(folder, 'aborted.txt');
  await writeFile(path, 'a\n'.repeat(100_000));
  const stop = new AbortController();
  const reading = readPrompts(path, stop.signal);
  await reading.next();
  stop.abort(new Error('enough'));
  await expect(all(reading)).rejects.toThrow('enough');
});
