/** Dynamic quantization on the reference engine: each operator near its float form, in subgraphs too, and what is left alone. */
import { check, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, Graph, GraphBuilder, Model, tensorType, toDense, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { type DynamicOptions, quantizeDynamic } from './quantize-dynamic.js';

const engine = referenceEngine();
const rng = createRng(31);
const normal = (shape: readonly number[], scale = 1): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()));

type Body = (b: GraphBuilder, x: Value, weight: (name: string, shape: readonly number[]) => Value) => Value;

function graph(shape: readonly number[], body: Body): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  const b = new GraphBuilder(model.graph);
  b.output(body(b, b.input('x', tensorType('float32', shape)), (name, size) => b.initializer(name, normal(size, 0.3))), 'y');
  return model;
}

async function run(model: Model, feeds: Feeds): Promise<number[]> {
  const loaded = cloneModel(model);
  for (const value of loaded.graph.initializers.values()) value.tensor = await toDense(value.tensor!);
  await using executor = await engine.load(loaded);
  return Object.values(await executor.run(feeds)).flatMap((tensor) => [...((tensor as DenseTensor).data as Float32Array)]);
}

async function snr(a: Model, b: Model, feeds: Feeds): Promise<number> {
  const [wanted, got] = [await run(a, feeds), await run(b, feeds)];
  return 10 * Math.log10(wanted.reduce((sum, x) => sum + x * x, 0) / wanted.reduce((sum, x, i) => sum + (x - got[i]!) ** 2, 0));
}

const quantized = (model: Model, options: DynamicOptions = {}) => quantizeDynamic(options).run(cloneModel(model), {});
const opsOf = (model: Model): string[] => [...model.graph.nodes()].map(({ opType }) => opType);

const bodies: Record<string, { shape: readonly number[]; body: Body; ops: readonly string[] }> = {
  'MatMul and its bias': { shape: [2, 3, 8], body: (b, x, w) => b.op('Add', [b.op('MatMul', [x, w('w', [8, 5])]), w('b', [5])]), ops: ['DynamicQuantizeLinear', 'MatMulInteger', 'Cast', 'Mul', 'Mul', 'Add'] },
  'Gemm, turned, with bias': { shape: [3, 8], body: (b, x, w) => b.op('Gemm', [x, w('w', [5, 8]), w('b', [5])], { transB: 1 }), ops: ['DynamicQuantizeLinear', 'MatMulInteger', 'Cast', 'Mul', 'Mul', 'Add'] },
  'Gemm without bias': { shape: [3, 8], body: (b, x, w) => b.op('Gemm', [x, w('w', [8, 5])]), ops: ['DynamicQuantizeLinear', 'MatMulInteger', 'Cast', 'Mul', 'Mul'] },
  'Conv with bias and groups': { shape: [1, 4, 6, 6], body: (b, x, w) => b.op('Conv', [x, w('w', [6, 2, 3, 3]), w('b', [6])], { group: 2, pads: [1, 1, 1, 1] }), ops: ['DynamicQuantizeLinear', 'ConvInteger', 'Cast', 'Mul', 'Mul', 'Add'] },
  'two products of one activation': { shape: [2, 8], body: (b, x, w) => b.op('Add', [b.op('MatMul', [x, w('w', [8, 5])]), b.op('MatMul', [x, w('v', [8, 5])])]), ops: ['DynamicQuantizeLinear', 'MatMulInteger', 'Cast', 'Mul', 'Mul', 'MatMulInteger', 'Cast', 'Mul', 'Mul', 'Add'] },
};

describe('quantizeDynamic', () => {
  test.each(Object.keys(bodies))('%s', async (name) => {
    const { shape, body, ops } = bodies[name]!;
    const model = graph(shape, body);
    for (const cpu of ['x64-vnni', 'x64'] as const) {
      const { model: result, records } = await quantized(model, { cpu });
      expect(check(result)).toEqual([]);
      expect(opsOf(result)).toEqual(ops);
      for (const { method, bytesAfter, bytesBefore, measuredBy } of records) {
        expect(method).toBe(`dynamic ${cpu === 'x64' ? 'uint8' : 'int8'} per channel`);
        expect(bytesAfter).toBeLessThan(bytesBefore);
        expect(result.graph.initializers.get(measuredBy!)!.tensor!.dtype).toBe(cpu === 'x64' ? 'uint8' : 'int8');
      }
      expect([...result.graph.initializers.keys()].filter((key) => key === 'w')).toEqual([]);
      expect(await snr(model, result, { x: normal(shape) })).toBeGreaterThan(35);
    }
  });

  test('LSTM becomes the operator of ONNX Runtime, gates with a scale each', async () => {
    const model = graph([7, 2, 5], (b, x, w) => b.nodes('LSTM', [x, w('W', [2, 24, 5]), w('R', [2, 24, 6]), w('B', [2, 48])], { hidden_size: 6, direction: 'bidirectional' }, { outputCount: 3 })[0]!);
    const { model: result } = await quantized(model);
    expect(check(result)).toEqual([]);
    const node = [...result.graph.nodes()][0]!;
    expect([node.domain, node.opType, result.opset('com.microsoft')]).toEqual(['com.microsoft', 'DynamicQuantizeLSTM', 1]);
    expect(node.input(1)!.tensor).toMatchObject({ dtype: 'int8', shape: [2, 5, 24] });
    expect(node.input(8)!.tensor!.shape).toEqual([2, 24]);
    // The codes are those of the gates, turned.
    const original = (model.graph.initializers.get('W')!.tensor as DenseTensor).data as Float32Array;
    const codes = (await toDense(node.input(1)!.tensor!)).data as Int8Array;
    const scales = (await toDense(node.input(8)!.tensor!)).data as Float32Array;
    for (let d = 0; d < 2; d++) for (let g = 0; g < 24; g++) for (let i = 0; i < 5; i++) {
      const scale = scales[d * 24 + g]!;
      expect(Math.abs(codes[(d * 5 + i) * 24 + g]! * scale - original[(d * 24 + g) * 5 + i]!)).toBeLessThanOrEqual(Math.abs(scale) * 0.501);
    }
  });

  test('reaches the branches of If, where weights of the graph around them are read too', async () => {
    const model = graph([1, 4], (b, x, w) => {
      const outer = w('outer', [4, 3]);
      const condition = b.input('condition', tensorType('bool', []));
      const branch = (name: string, own: boolean): Graph => {
        const inner = new Graph(name);
        const ib = b.inner(inner);
        ib.output(ib.op('MatMul', [x, own ? ib.initializer(`${name}.w`, normal([4, 3])) : outer]), `${name}.out`);
        return inner;
      };
      return b.nodes('If', [condition], { then_branch: { kind: 'graph', value: branch('then', true) } as never, else_branch: { kind: 'graph', value: branch('else', false) } as never })[0]!;
    });
    const { model: result, records } = await quantized(model);
    expect(check(result)).toEqual([]);
    expect(records.map(({ name, method }) => [name, method]).sort()).toEqual([['outer', 'dynamic int8 per channel'], ['then.w', 'dynamic int8 per channel']]);
    const [node] = [...result.graph.nodes()];
    for (const inner of node!.subgraphs()) {
      expect([...inner.nodes()].map(({ opType }) => opType)).toContain('MatMulInteger');
      for (const value of inner.initializers.values()) value.tensor = await toDense(value.tensor!);
    }
    for (const on of [0, 1]) expect(await snr(model, result, { x: normal([1, 4]), condition: denseOf('bool', [], [on]) })).toBeGreaterThan(30);
  });

  test('says what stays and why; a model with nothing to quantize is an error', async () => {
    const model = graph([2, 4], (b, x, w) => b.op('MatMul', [b.op('MatMul', [x, w('first', [4, 4])]), b.op('Gemm', [w('a', [4, 4]), w('second', [4, 4])], { alpha: 0.5 })]));
    const { records, model: result } = await quantized(model);
    expect(records.map(({ name, note }) => [name, note])).toEqual([['first', undefined], ['second', 'its Gemm has transA, alpha or beta']]);
    expect(await snr(model, result, { x: normal([2, 4]) })).toBeGreaterThan(30);
    await expect(quantized(model, { exclude: ['first'] })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
    await expect(quantized(model, { operators: ['Conv'] })).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
    expect(() => quantizeDynamic({ operators: ['Softmax'] })).toThrow(/Softmax is not quantized dynamically/);
    expect(() => quantizeDynamic({ cpu: 'mips' as never })).toThrow(/cpu is mips/);
  });

  test('zeros stay zeros, and a weight of an older opset is raised', async () => {
    const model = graph([2, 4], (b, x, w) => b.op('Add', [b.op('MatMul', [x, b.initializer('zero', denseOf('float32', [4, 3], new Array<number>(12).fill(0)))]), w('bias', [3])]));
    model.opsetImports.set('', 10);
    const { model: result } = await quantized(model);
    expect(result.opset()).toBe(11);
    const bias = [...((model.graph.initializers.get('bias')!.tensor as DenseTensor).data as Float32Array)];
    expect(await run(result, { x: normal([2, 4]) })).toEqual([...bias, ...bias]);
  });
});
