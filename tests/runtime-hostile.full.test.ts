/** Hostile ONNX files given to the engine: a typed error or a model that runs, never a crash of the process. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRng, isPenjingError } from '@penjing/core';
import { ortEngine, randomFeeds } from '@penjing/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

const MUTATIONS = 60;
const engine = ortEngine({ threads: 1 });
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** What became of a file: the code of the error, or 'runs'. */
async function outcome(path: string): Promise<string> {
  try {
    await using executor = await engine.loadFile(path);
    await executor.run(randomFeeds(executor.inputs, { seed: 1 }));
    return 'runs';
  } catch (error) {
    if (!isPenjingError(error)) throw error;
    return error.code;
  }
}

describe.skipIf(!testData)('files made to do harm', () => {
  test('each is refused with a type, or harmless', async () => {
    const files = [...readTarGz(join(testData!, 'hostile', 'hostile-synthetic.tar.gz'))].filter(([name]) => name.startsWith('onnx/') || name.endsWith('.onnx'));
    for (const [name, bytes] of files) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), bytes);
    }
    const outcomes: Record<string, string> = {};
    for (const [name] of files) if (name.endsWith('.onnx')) outcomes[name] = await outcome(join(folder, name));
    expect(Object.keys(outcomes).length).toBeGreaterThan(10);
    expect(Object.values(outcomes).every((code) => code === 'runs' || code.startsWith('E_'))).toBe(true);
    // Those ONNX Runtime must not even see.
    for (const name of ['empty', 'ext_absolute', 'length_beyond_end', 'raw_data_short']) {
      expect([name, outcomes[`onnx/${name}.onnx`]]).toEqual([name, expect.stringMatching(/^E_(?!ENGINE)/)]);
    }
  });

  test('a real model with bytes overwritten', async () => {
    const original = await readFile(join(testData!, 'models', 'mnist', 'mnist-cntk.onnx'));
    const rng = createRng(11);
    for (let i = 0; i < MUTATIONS; i++) {
      const bytes = new Uint8Array(original);
      for (let k = rng.below(4); k >= 0; k--) bytes[rng.below(i % 2 ? 2000 : bytes.length)] = rng.below(256);
      const path = join(folder, `mutated-${i}.onnx`);
      await writeFile(path, i % 5 === 0 ? bytes.subarray(0, rng.below(bytes.length)) : bytes);
      expect(await outcome(path)).toMatch(/^(runs|E_)/);
    }
  });
});
