import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openFolder } from './folder.js';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'penjing-folder-'));
  await mkdir(join(root, 'model', 'onnx'), { recursive: true });
  await writeFile(join(root, 'blob'), 'weights');
  await writeFile(join(root, 'model', 'config.json'), '{}');
  await writeFile(join(root, 'model', 'onnx', 'model.onnx'), 'graph');
  await symlink('../blob', join(root, 'model', 'model.safetensors'));
  await symlink('nowhere', join(root, 'model', 'broken'));
});
afterAll(() => rm(root, { recursive: true }));

test('lists files and links to files', async () => {
  const folder = openFolder(join(root, 'model'));
  expect(folder.name).toBe('model');
  expect(await folder.list()).toEqual(['config.json', 'model.safetensors']);
});

test('opens links, as the cache of Hugging Face has them, and files of inner folders', async () => {
  const folder = openFolder(join(root, 'model'));
  const read = async (name: string): Promise<string> => {
    const source = await folder.open(name);
    return new TextDecoder().decode(await source.read(0, source.size));
  };
  expect(await read('model.safetensors')).toBe('weights');
  expect(await read('onnx/model.onnx')).toBe('graph');
});

test.each(['../blob', '/etc/passwd', '', '.', 'onnx/../../blob', 'onnx//model.onnx', 'C:x', 'a\\b', 'a\0b'])('refuses %j', async (name) => {
  await expect(openFolder(join(root, 'model')).open(name)).rejects.toMatchObject({ code: 'E_PATH' });
});

test('names a missing file', async () => {
  await expect(openFolder(join(root, 'model')).open('none')).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
});
