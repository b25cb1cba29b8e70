/** What is kept of a teacher is of that one alone. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toDense } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { ortJobs } from '@penjing/runtime';
import { network, writeFleetFiles } from '../parallel/testing/fleet-recipes.js';
import { teachingLesson } from './lessons.js';
import { trainModel } from './train-model.js';

const folder = mkdtempSync(join(tmpdir(), 'penjing-train-model-'));
beforeAll(async () => {
  await writeFleetFiles(folder);
  await saveFile(join(folder, 'other.onnx'), serializeOnnx(network(4, 9)));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function taught(teacher: string, shelves: string): Promise<number[]> {
  await using jobs = ortJobs({ threads: 1 });
  const fields = { teachers: [join(folder, teacher)], data: join(folder, 'data.jsonl'), steps: 4, batch: 6, cacheTeacher: true };
  const run = { input: { path: join(folder, 'model.onnx') }, folder: join(folder, shelves), onNote: () => {}, onTrained: () => {} };
  const { model } = await trainModel('distill', network(1, 1), fields, teachingLesson(fields), { jobs, seed: 0 }, run);
  return [...((await toDense(model.graph.initializers.get('head')!.tensor!)).data as Float32Array)];
}

test('answers of another teacher, which a worker put down late, are not taken', async () => {
  const expected = await taught('other.onnx', 'fresh');
  expect(await taught('teacher.onnx', 'again')).not.toEqual(expected);
  // A command that begins anew empties its work folder; what a worker of the one before still writes comes after that.
  rmSync(join(folder, 'again'), { recursive: true });
  expect(await taught('other.onnx', 'again')).toEqual(expected);
  // Of the same teacher they are.
  rmSync(join(folder, 'fresh'), { recursive: true });
  expect(await taught('other.onnx', 'fresh')).toEqual(expected);
});
