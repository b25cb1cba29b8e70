import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { denseOf, GraphBuilder, Model, tensorType, type WeightRecord } from '@penjing/core';
import { layoutToBytes, serializeOnnx } from '@penjing/graph-io';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withGraphs } from '../manifest.js';
import { describeGraph, describeLimits } from './describe-graph.js';
import { describeFile, graphFiles } from './graph-files.js';
import { lookAtGraph } from './look-at-graphs.js';

function layers(count: number, named = true): Model {
  const model = new Model();
  model.opsetImports.set('', 18);
  const b = new GraphBuilder(model.graph);
  let x = b.input('x', tensorType('float32', ['batch', 4]));
  for (let i = 0; i < count; i++) {
    x = b.op('MatMul', [x, b.initializer(`layers.${i}.weight.q4`, denseOf('float32', [4, 4], new Array<number>(16).fill(1)))], {}, named ? { name: `model/layers.${i}/MatMul` } : {});
    x = b.op('Relu', [x], {}, named ? { name: `model/layers.${i}/Relu` } : {});
  }
  b.output(x, 'y', tensorType('float32', ['batch', 4]));
  return model;
}

const record = (name: string, more: Partial<WeightRecord> = {}): WeightRecord => ({ name, method: 'rtn int4', elements: 16, bytesBefore: 64, bytesAfter: 8, snrDb: 21, maxError: 0.1, ...more });

describe('a described graph', () => {
  test('has operators with their place, type, weights, and what steps did to them', () => {
    const { operators, totals, cut, records } = describeGraph(layers(2), [record('layers.0.weight', { measuredBy: 'layers.0.weight.q4' }), record('layers.1.weight', { snrDb: Infinity })]);
    expect(operators.map(({ operator, path }) => [operator, path])).toEqual([['MatMul', ['model', 'layers.0']], ['Relu', ['model', 'layers.0']], ['MatMul', ['model', 'layers.1']], ['Relu', ['model', 'layers.1']]]);
    expect(operators[1]).toMatchObject({ dtype: 'float32', shape: ['batch', 4], weights: [] });
    expect(operators[0]!.weights).toEqual([{ name: 'layers.0.weight.q4', dtype: 'float32', shape: [4, 4], bytes: 64, method: 'rtn int4', snrDb: 21, maxError: 0.1 }]);
    expect(operators[2]!.weights[0]).toMatchObject({ method: 'rtn int4', snrDb: null });
    expect({ totals, cut, records }).toEqual({ totals: { operators: 4, weights: 2, bytes: 128 }, cut: false, records: 2 });
  });

  test('is cut where it is larger than anybody reads, and says so', () => {
    const { operators, totals, cut } = describeGraph(layers(6), [], { ...describeLimits, operators: 5 });
    expect(operators).toHaveLength(5);
    expect({ totals, cut }).toEqual({ totals: { operators: 12, weights: 6, bytes: 384 }, cut: true });
  });

  test('whose names say nothing is cut into blocks', () => {
    const { operators } = describeGraph(layers(3, false), []);
    expect(new Set(operators.map(({ path }) => path.join('/')))).toEqual(new Set(['block 0', 'block 1', 'block 2']));
  });

  test('names from a hostile file stay short', () => {
    const model = layers(1);
    const [node] = [...model.graph.nodes()];
    node!.name = `${'deep/'.repeat(5_000)}${'x'.repeat(5_000)}`;
    const { operators } = describeGraph(model, []);
    expect(JSON.stringify(operators[0]).length).toBeLessThan(2_000);
  });
});

describe('a model folder', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'penjing-graphs-'));
    await mkdir(join(folder, 'onnx'));
    for (const name of ['model', 'model_q4']) {
      await writeFile(join(folder, 'onnx', `${name}.onnx`), await layoutToBytes(serializeOnnx(layers(1))[0]!));
    }
    const manifest = withGraphs({}, ['onnx/model_q4.onnx'], { steps: [{ quantize: { bits: 4, data: '/home/somebody/secret.txt' } }], records: [record('layers.0.weight')], gate: 'lost 0.1 %' } as never);
    await writeFile(join(folder, 'penjing.json'), JSON.stringify({ penjing: 1, files: [], ...manifest }));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('lists its graphs and how they were made, without the paths of data', async () => {
    const graphs = await graphFiles(folder);
    expect(graphs.map(({ name, variant }) => [name, variant])).toEqual([['onnx/model.onnx', 'fp32'], ['onnx/model_q4.onnx', 'q4']]);
    expect(graphs[1]).toMatchObject({ steps: ['quantize bits 4'], gate: 'lost 0.1 %', records: 1 });
    expect(JSON.stringify(graphs)).not.toContain('secret');
  });

  test('shows one of its graphs, and nothing but its graphs', async () => {
    expect(await describeFile(folder, undefined)).toMatchObject({ name: 'onnx/model.onnx', records: 0, totals: { operators: 2 } });
    expect((await describeFile(folder, 'onnx/model_q4.onnx')).operators[0]!.weights[0]).toMatchObject({ snrDb: 21 });
    for (const name of ['../secret.onnx', 'penjing.json', 'model.onnx', '/etc/passwd', '']) {
      await expect(describeFile(folder, name), name).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    }
  });

  test('is looked at in a thread of its own, whose errors keep their code and hint', async () => {
    const leaving = new AbortController();
    const left = lookAtGraph(folder, undefined, { signal: leaving.signal });
    leaving.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    await expect(lookAtGraph(folder, undefined, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    await expect(lookAtGraph(folder, 'nothing.onnx')).rejects.toMatchObject({ code: 'E_NOT_FOUND', hint: 'It has onnx/model.onnx, onnx/model_q4.onnx.' });
  });
});
