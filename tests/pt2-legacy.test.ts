/** The archive of torch.export before torch 2.8: its weights are a file of torch.save inside the file, found by threads too. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memorySource } from '@penjing/core';
import { convertPt2, layoutToBytes, openExportedProgram, pytorchLayout, serializeOnnx } from '@penjing/graph-io';
import { fileSource, saveFile } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openZip } from '../packages/graph-io/src/pytorch/zip.js';
import { zipLayout } from '../packages/graph-io/src/pytorch/zip-layout.js';

const current = fileURLToPath(new URL('./fixtures/pt2/models/mlp.pt2', import.meta.url));
let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-pt2-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

test('saves the weights that the current archive saves', async () => {
  const bytes = new Uint8Array(await readFile(current));
  const zip = await openZip(memorySource(bytes));
  const program = [...zip.entries.keys()].find((name) => name.includes('/models/') && name.endsWith('.json'))!;
  const { weights, constants } = await openExportedProgram(memorySource(bytes));
  const [state] = pytorchLayout({ tensors: new Map([...weights, ...constants]), metadata: new Map() });
  const legacy = zipLayout('legacy.pt2', [
    { name: 'serialized_exported_program.json', content: await zip.read(program, 1 << 24) },
    { name: 'serialized_state_dict.pt', content: await layoutToBytes(state!) },
    { name: 'serialized_constants.pt', content: new Uint8Array(0) },
    { name: 'version', content: new TextEncoder().encode('5') },
  ], 64);
  const path = join(folder, 'legacy.pt2');
  await writeFile(path, await layoutToBytes(legacy));

  const saved = async (from: string): Promise<Buffer> => {
    const exported = await openExportedProgram(await fileSource(from));
    const output = join(folder, `${exported.layout}.onnx`);
    await saveFile(output, serializeOnnx(convertPt2(exported), { name: `${exported.layout}.onnx`, externalData: 'always', externalMinBytes: 1, externalName: `${exported.layout}.data` }));
    return readFile(join(folder, `${exported.layout}.data`));
  };
  expect((await openExportedProgram(await fileSource(path))).layout).toBe('legacy');
  expect((await saved(path)).equals(await saved(current))).toBe(true);
});
