/**
 * Writes every model that the tests convert as ONNX, for peers to work on: `npx tsx --conditions=@penjing/source bench/write-converted.ts FOLDER`.
 * What does not convert is left out.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isPenjingError } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { convertedModels } from '../tests/tools/converted-models.js';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('a folder is missing');
for await (const { id, make } of convertedModels(['pt2', 'sweep', 'hf'])) {
  const path = join(folder, `${id}.onnx`);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, await layoutToBytes(serializeOnnx(await make(), { externalData: 'never' })[0]!));
  } catch (error) {
    if (!isPenjingError(error)) throw error;
    console.log(`${id}: ${error.code}`);
  }
}
