/** Exported programs, whole and decomposed, against what PyTorch computed with them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, DenseTensor, memorySource, type Model, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { openExportedProgram, openPt2, openSafetensors } from '@penjing/graph-io';
import { testEngine } from './support/ort-session.js';
import { describe, expect, test } from 'vitest';
import { recordedOf, runModel } from './support/pt2-cases.js';
import { testData } from './tools/test-data.js';

const folder = fileURLToPath(new URL('./fixtures/pt2/models', import.meta.url));
const programs = readdirSync(folder).filter((name) => name.endsWith('.pt2'));
const TOLERANCE = 1e-4;

const open = (path: string): Promise<Model> => openPt2(memorySource(readFileSync(path), path));
const operators = (model: Model): string[] => [...model.graph.nodes()].map(({ opType }) => opType);

const largest = (a: DenseTensor, b: DenseTensor): number => Math.max(...Array.from(b.data as Float32Array, (value, i) => Math.abs(value - (a.data as Float32Array)[i]!)));

describe('models', () => {
  test.each(programs)('%s gives the values of PyTorch', async (file) => {
    const model = await open(join(folder, file));
    expect(check(model)).toEqual([]);
    const recorded = await recordedOf(readFileSync(join(folder, `${file.split('.')[0]!}.safetensors`)));
    expect(await runModel(referenceEngine(), model, recorded)).toBeLessThan(TOLERANCE);
  });

  test.each(['causal.pt2', 'tagger.pt2', 'branch.pt2', 'loops.pt2', 'mlp.decomposed.pt2'])('%s runs on ONNX Runtime', async (file) => {
    const recorded = await recordedOf(readFileSync(join(folder, `${file.split('.')[0]!}.safetensors`)));
    expect(await runModel(testEngine(), await open(join(folder, file)), recorded)).toBeLessThan(TOLERANCE);
  });

  test('sizes that may vary are named, and every other batch works', async () => {
    const model = await open(join(folder, 'encoder.pt2'));
    expect(model.graph.inputs[0]!.type).toMatchObject({ shape: ['batch', 'src_dim1', 8] });
    const recorded = await recordedOf(readFileSync(join(folder, 'encoder.safetensors')));
    // Row by row, and the batch at once, must agree.
    const [input] = recorded.inputs;
    const [output] = recorded.outputs;
    const row = (tensor: DenseTensor): DenseTensor => new DenseTensor(tensor.dtype, [1, ...tensor.shape.slice(1)], tensor.bytes.subarray(0, tensor.byteLength / 2));
    expect(await runModel(referenceEngine(), model, { inputs: [row(input!)], outputs: [row(output!)] })).toBeLessThan(TOLERANCE);
  });

  test('names of modules, of weights and of outputs stay', async () => {
    const model = await open(join(folder, 'tagger.pt2'));
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['tags', 'state']);
    expect([...model.graph.initializers.keys()]).toContain('embed.weight');
    expect([...model.graph.nodes()].map(({ name }) => name)).toContain('embed/Gather');
  });

  test('a tied weight is stored once, a changed buffer is named', async () => {
    const model = await open(join(folder, 'tied.pt2'));
    expect([...model.graph.initializers.values()].filter(({ tensor }) => tensor!.shape.includes(16))).toHaveLength(1);
    expect((await open(join(folder, 'mlp.decomposed.pt2'))).metadata.get('penjing.dropped_state')).toBe('calls');
  });

  test.each(['cache.pt2', 'cache.decomposed.pt2'])('buffers that are written to go through ports when asked: %s', async (file) => {
    expect((await open(join(folder, file))).metadata.get('penjing.dropped_state')).toBe('keys, length');
    const model = await openPt2(memorySource(readFileSync(join(folder, file))), { state: 'ports' });
    expect(check(model)).toEqual([]);
    expect(model.metadata.get('penjing.state')).toBe('keys=keys.next, length=length.next');
    expect(model.graph.outputs.map(({ name }) => name).slice(1)).toEqual(['keys.next', 'length.next']);
    const { tensors } = await openSafetensors(memorySource(readFileSync(join(folder, 'cache.safetensors'))));
    const recorded = async (name: string): Promise<DenseTensor> => toDense(tensors.get(name)!);
    // The caller gives the state of the file on the first step, and what came out on the second.
    const { weights } = await openExportedProgram(memorySource(readFileSync(join(folder, file))));
    const [keys, length] = await Promise.all(['keys', 'length'].map((name) => toDense(weights.get(name)!)));
    for (const engine of [referenceEngine(), testEngine()]) {
      await using executor = await engine.load(model);
      const [input, output] = [model.graph.inputs[0]!.name, model.graph.outputs[0]!.name];
      const first = await executor.run({ [input]: await recorded('input_0'), keys: keys!, length: length! });
      const second = await executor.run({ [input]: await recorded('input_0'), keys: first['keys.next']!, length: first['length.next']! });
      expect(largest(first[output] as DenseTensor, await recorded('output_0'))).toBeLessThan(TOLERANCE);
      expect(largest(second[output] as DenseTensor, await recorded('second_0'))).toBeLessThan(TOLERANCE);
    }
  });

  test('operators that ONNX Runtime fuses are one node each', async () => {
    const names = operators(await open(join(folder, 'convnext.pt2')));
    expect(names.filter((name) => name === 'Gelu').length).toBe(3);
    expect(names.filter((name) => name === 'LayerNormalization').length).toBeGreaterThanOrEqual(6);
    expect(names).not.toContain('Erf');
  });
});

describe('refused', () => {
  test('a zip file that is none', async () => {
    const empty = new Uint8Array(22);
    empty.set([0x50, 0x4b, 5, 6]);
    await expect(openPt2(memorySource(empty))).rejects.toMatchObject({ code: 'E_FORMAT' });
  });

  test('a file cut anywhere ends with a typed error', async () => {
    const bytes = readFileSync(join(folder, 'mlp.pt2'));
    for (let size = 0; size < bytes.length; size += 97) {
      await expect(openPt2(memorySource(bytes.subarray(0, size)))).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
    }
  });
});

describe.skipIf(!testData)('resnet20 (needs PENJING_TESTDATA)', () => {
  test('matches its recorded outputs', async () => {
    const root = join(testData ?? '', 'models/resnet20-cifar10');
    const { tensors } = await openSafetensors(memorySource(readFileSync(join(root, 'resnet20_expected.safetensors'))));
    const recorded = { inputs: [await toDense(tensors.get('input')!)], outputs: [await toDense(tensors.get('output')!)] };
    const model = await open(join(root, 'resnet20.pt2'));
    expect(await runModel(testEngine(), model, recorded)).toBeLessThan(TOLERANCE);
  });
});
