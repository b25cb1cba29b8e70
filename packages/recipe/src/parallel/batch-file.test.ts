/** Rows through a model: in order, with errors where they are, resumed where a run was cut off. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { batchFile } from './batch-file.js';
import { cutLines } from './cut-lines.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-batch-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['rows', 3]));
  b.output(b.op('Add', [x, x]), 'y', tensorType('float32', ['rows', 3]));
  await saveFile(at('double.onnx'), serializeOnnx(model, { name: 'double.onnx' }));
  const lines = Array.from({ length: 50 }, (_, i) => (i === 7 ? 'no json' : i === 9 ? '{"id":9,"x":[1,2]}' : i === 11 ? '{"z":1}' : JSON.stringify({ id: i, x: [i, 1, 2] })));
  writeFileSync(at('rows.jsonl'), `${lines.join('\n')}\n\n  \n{"x":[[5,5,5],[6,6,6]]}`);
});

it('keeps the order, and an error is the record of its row', async () => {
  const result = await batchFile(at('rows.jsonl'), at('double.onnx'), { output: at('out.jsonl'), rowsPerJob: 6, workers: 2, threads: 2 });
  expect(result).toMatchObject({ task: 'raw', rows: 51, failed: 3, resumed: 0 });
  const records = readFileSync(at('out.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { index: number; id?: number; outputs?: { y: unknown }; error?: { code: string } });
  expect(records.map(({ index }) => index)).toEqual(Array.from({ length: 51 }, (_, i) => i));
  expect(records[3]).toEqual({ index: 3, id: 3, outputs: { y: [6, 2, 4] } });
  expect(records[50]).toEqual({ index: 50, outputs: { y: [[10, 10, 10], [12, 12, 12]] } });
  expect([7, 9, 11].map((i) => records[i]?.error?.code.slice(0, 2))).toEqual(['E_', 'E_', 'E_']);
  await expect(batchFile(at('rows.jsonl'), at('double.onnx'), { output: at('out.jsonl') })).rejects.toMatchObject({ code: 'E_EXISTS' });
  expect((await readdir(folder)).filter((name) => name.endsWith('.penjing'))).toEqual([]);
});

it('goes on where it was cut off, and makes anew what was damaged since', async () => {
  const enough = new AbortController();
  const cut = batchFile(at('rows.jsonl'), at('double.onnx'), { output: at('cut.jsonl'), rowsPerJob: 5, threads: 1, signal: enough.signal, onProgress: ({ done }) => void (done >= 15 && enough.abort(new Error('cut'))) });
  await expect(cut).rejects.toThrow('cut');
  const pieces = at('cut.jsonl.penjing/pieces');
  const [first = ''] = readdirSync(pieces).filter((name) => !name.startsWith('draft'));
  const bytes = readFileSync(join(pieces, first));
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  writeFileSync(join(pieces, first), bytes);
  const { resumed, rows } = await batchFile(at('rows.jsonl'), at('double.onnx'), { output: at('cut.jsonl'), rowsPerJob: 5, threads: 1, resume: true });
  expect(rows).toBe(51);
  expect(resumed % 5).toBe(0);
  expect(readFileSync(at('cut.jsonl'), 'utf8')).toBe(readFileSync(at('out.jsonl'), 'utf8'));
});

it('cuts at the ends of lines', async () => {
  const path = at('lines');
  writeFileSync(path, 'a\n\nb\nc\n \n');
  const stretches = [];
  for await (const stretch of cutLines(path, 2)) stretches.push([stretch.start, stretch.end, stretch.row, stretch.rows]);
  expect(stretches).toEqual([[0, 5, 0, 2], [5, 9, 2, 1]]);
  writeFileSync(path, '');
  for await (const _ of cutLines(path, 2)) throw new Error('a stretch of nothing');
});
