/**
 * Reads every ONNX model under a folder and writes it to the same place under another, so that `peers/compare_onnx.py`
 * can tell whether it is still the same model:
 * `npx tsx --conditions=@penjing/source tests/tools/rewrite-onnx.ts FROM TO [--external]`.
 * Prints one line of JSON per model that could not be read, then the counts.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type ByteSource, isPenjingError, memorySource } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';

const [from, to, flag] = process.argv.slice(2);
if (!from || !to) throw new Error('usage: rewrite-onnx.ts FROM TO [--external]');

const fileBytes = (path: string): ByteSource => memorySource(readFileSync(path), path);

async function rewrite(path: string, output: string): Promise<void> {
  const folder = dirname(path);
  const model = await readOnnx(fileBytes(path), { externalSource: async (location) => fileBytes(join(folder, location)) });
  const name = output.slice(dirname(output).length + 1);
  const files = serializeOnnx(model, { name, externalData: flag === '--external' ? 'always' : 'auto', externalMinBytes: 64 });
  mkdirSync(dirname(output), { recursive: true });
  for (const file of files) writeFileSync(join(dirname(output), file.name), await layoutToBytes(file));
}

const counts = { written: 0, refused: 0, crashed: 0 };
for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.onnx')) continue;
  const path = join(entry.parentPath, entry.name);
  const place = relative(from, path);
  try {
    await rewrite(path, join(to, place));
    counts.written++;
  } catch (error) {
    const typed = isPenjingError(error);
    counts[typed ? 'refused' : 'crashed']++;
    const message = error instanceof Error ? error.message : String(error);
    console.log(JSON.stringify({ model: place, code: typed ? error.code : 'crash', message }));
  }
}
console.log(JSON.stringify(counts));
