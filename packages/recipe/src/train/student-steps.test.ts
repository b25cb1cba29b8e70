/** What `--student` says of parts of a teacher, and what it cannot mean. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { studentSteps } from './student-steps.js';

const teacher = join(import.meta.dirname, '..', '..', '..', '..', 'models', 'sapling');
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-students-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function config(fields: object): Promise<string> {
  const path = join(folder, 'config.json');
  await writeFile(path, JSON.stringify(fields));
  return path;
}

test('words become steps, heads last', async () => {
  expect(await studentSteps('some/folder', { teacher })).toBeUndefined();
  expect(await studentSteps('layers:0,2,3', { teacher })).toEqual([{ shrink: { structure: 'layers', keep: '0,2,3' } }]);
  expect(await studentSteps('width:0.75', { teacher })).toEqual([{ shrink: { structure: 'width', ratio: 0.25 } }]);
  expect(await studentSteps('heads:4,hidden:128,layers:outer:2,ffn:0.5', { teacher, data: 'a.txt' })).toEqual([
    { shrink: { structure: 'layers', keep: 'outer:2' } },
    ...[['ffn', { ratio: 0.5 }], ['hidden', { size: 128 }], ['heads', { size: 4 }]].map(([structure, size]) => ({ shrink: { structure, ...(size as object), method: 'activation', data: 'a.txt', samples: 32 } })),
  ]);
});

test('a configuration becomes the sizes in which it is another', async () => {
  expect(await studentSteps(await config({ model_type: 'llama', hidden_size: 128, intermediate_size: 384, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 4096, torch_dtype: 'float32' }), { teacher })).toEqual([
    { shrink: { structure: 'layers', keep: '2' } }, { shrink: { structure: 'ffn', size: 384 } }, { shrink: { structure: 'hidden', size: 128 } }, { shrink: { structure: 'heads', size: 4 } },
  ]);
  expect(await studentSteps(await config({ hidden_size: 128, head_dim: 32 }), { teacher })).toEqual([{ shrink: { structure: 'hidden', size: 128 } }]);
});

test.each([
  ['layers:', 'names no layers'], ['width:1', 'between 0 and 1'], ['width:x', 'between 0 and 1'], ['hidden:1.5', 'how many stay'], ['ffn:-2', 'how many stay'], ['ffn:3,ffn:4', 'twice'],
  ['width:0.5,ffn:3', 'the width is that of'], ['hidden:64,depth:3', 'depth:3 says nothing'],
])('%s is refused', async (text, message) => {
  await expect(studentSteps(text, { teacher })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(message) as string });
});

test.each<[object, string]>([
  [{ hidden_size: 512, head_dim: 32 }, 'hidden_size 512 is no part of the 256'], [{ num_hidden_layers: 0 }, 'num_hidden_layers 0'], [{ vocab_size: 100 }, 'vocab_size is 100, the teacher has 4096'], [{ hidden_size: 128 }, 'heads of 16 features'],
  [{ num_attention_heads: 4, head_dim: 32, num_key_value_heads: 4 }, '4 heads of keys for 4 of queries'], [{ model_type: 'bert' }, 'model_type is "bert"'], [{ hidden_size: 256 }, 'has the sizes of the teacher'],
])('a configuration with %j is refused by name', async (fields, message) => {
  await expect(studentSteps(await config(fields), { teacher })).rejects.toMatchObject({ code: 'E_OPTION', message: expect.stringContaining(message) as string });
});

test('a teacher without a configuration', async () => {
  await expect(studentSteps(await config({ hidden_size: 8 }), { teacher: folder.concat('-none') })).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});
