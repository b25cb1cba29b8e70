import { attribute, check, cloneModel, createRng, DenseTensor, denseOf, Graph, GraphBuilder, Model, Node, print, SparseTensor, tensorType, Value } from '@penjing/core';
import { describe, expect, test } from 'vitest';
import { quantizeWeights } from './quantize-weights.js';

const rng = createRng(7);
const matrix = (rows: number, cols: number): DenseTensor =>
  DenseTensor.of('float32', [rows, cols], Float32Array.from({ length: rows * cols }, () => rng.normal()));

/** Lookup and product over one table, a Gemm with bias, and a product inside an If. */
function model(): Model {
  const made = new Model();
  made.opsetImports.set('', 21);
  const b = new GraphBuilder(made.graph);
  const ids = b.input('ids', tensorType('int64', ['batch']));
  const condition = b.input('condition', tensorType('bool', []));
  const table = b.initializer('table', matrix(96, 64));
  let x = b.op('Gather', [table, ids], { axis: 0 });
  x = b.op('Gemm', [x, b.initializer('gemm', matrix(64, 64)), b.initializer('bias', matrix(1, 64))], { transB: 1 });
  const inner = b.initializer('inner', matrix(64, 64));
  const branch = (name: string, transform: (builder: GraphBuilder) => void): Graph => {
    const graph = new Graph(name);
    transform(new GraphBuilder(graph));
    return graph;
  };
  const captured = x;
  x = b.op('If', [condition], {
    then_branch: attribute.graph(branch('then', (g) => g.output(g.op('MatMul', [captured, inner]), 'then_y'))),
    else_branch: attribute.graph(branch('else', (g) => g.output(g.op('Neg', [captured]), 'else_y'))),
  });
  b.output(b.op('MatMul', [x, b.op('Transpose', [table], { perm: [1, 0] })]), 'logits', tensorType('float32', ['batch', 96]));
  return made;
}

describe('quantizeWeights', () => {
  test('rewrites lookups, products, Gemm and subgraphs, and stores a shared table once', async () => {
    const { model: result, records } = await quantizeWeights({ bits: 4 }).run(model(), {});
    expect(check(result)).toEqual([]);
    expect(records.map(({ name, method }) => [name, method])).toEqual([
      ['table', 'rtn int4 block 32 symmetric qoperator'],
      ['gemm', 'rtn int4 block 32 symmetric qoperator'],
      ['inner', 'rtn int4 block 32 symmetric qoperator'],
    ]);
    expect([...result.graph.initializers.keys()].sort()).toEqual([
      'bias', 'gemm.q4', 'gemm.q4_scales', 'inner.q4', 'inner.q4_scales', 'table.q4', 'table.q4_scales', 'table.q4_shape',
    ]);
    expect(print(result)).toMatchInlineSnapshot(`
      "model ir 10, ai.onnx 21, com.microsoft 1
      graph main(ids: int64[batch], condition: bool[]) -> logits: float32[batch,96]
        weight bias: float32[1,64]
        weight table.q4: uint8[96,32]
        weight table.q4_scales: float32[96,2]
        weight table.q4_shape: int64[3]
        weight gemm.q4: uint8[64,2,16]
        weight gemm.q4_scales: float32[64,2]
        weight inner.q4: uint8[64,2,16]
        weight inner.q4_scales: float32[64,2]
        table.q4_blocked = Reshape(table.q4, table.q4_shape)
        Gather.out = com.microsoft.GatherBlockQuantized(table.q4, ids, table.q4_scales) {bits=4, block_size=32, gather_axis=0, quantize_axis=1}
        Gemm.out_product = com.microsoft.MatMulNBits(Gather.out, gemm.q4, gemm.q4_scales) {K=64, N=64, bits=4, block_size=32, accuracy_level=4}
        Gemm.out = Add(Gemm.out_product, bias)
        If.out = If(condition)
          then_branch() -> then_y: ?
            then_y = com.microsoft.MatMulNBits(Gemm.out, inner.q4, inner.q4_scales) {K=64, N=64, bits=4, block_size=32, accuracy_level=4}
          else_branch() -> else_y: ?
            else_y = Neg(Gemm.out)
        logits = com.microsoft.MatMulNBits(If.out, table.q4_blocked, table.q4_scales) {K=64, N=96, bits=4, block_size=32, accuracy_level=4}"
    `);
  });

  test('writes standard DequantizeLinear in the form that ONNX Runtime fuses', async () => {
    const { model: result, records } = await quantizeWeights({ format: 'qdq', symmetric: false }).run(model(), {});
    expect(check(result)).toEqual([]);
    expect(records.find(({ name }) => name === 'table')?.note).toMatch(/whole table/);
    const values = result.graph.initializers.get('gemm.q4')!.tensor!;
    expect([values.dtype, values.shape]).toEqual(['uint4', [64, 64]]);
    expect(result.graph.initializers.get('gemm.q4_scales')!.tensor!.shape).toEqual([2, 64]);
  });

  test('gives layers what their rules say, and grids of 3 bits or fitted ones where they are wanted', async () => {
    const { model: result, records } = await quantizeWeights({
      bits: 3, scales: 'squares',
      layers: [{ match: 'gemm', bits: 8, blockSize: 64 }, { match: ['gemm', /^inn/], method: 'hqq', bits: 2, symmetric: false }, { match: 'table', method: 'none' }],
    }).run(model(), {});
    expect(check(result)).toEqual([]);
    expect(records.map(({ name, method }) => [name, method])).toEqual([
      ['table', 'none'],
      ['gemm', 'rtn int8 block 64 symmetric qoperator, fitted scales'],
      ['inner', 'hqq int2 block 32 asymmetric qoperator'],
    ]);
    const three = await quantizeWeights({ bits: 3, method: 'hqq' }).run(model(), {});
    expect(three.records.every(({ method }) => method === 'hqq int3 block 32 symmetric qoperator')).toBe(true);
    const { tensor } = three.model.graph.initializers.get('gemm.q3')!;
    const bytes = await tensor!.load();
    expect(bytes.every((byte) => (byte & 15) >= 4 && (byte & 15) <= 11 && byte >> 4 >= 4 && byte >> 4 <= 11)).toBe(true);
    expect(() => quantizeWeights({ layers: [{ match: 'gemm', method: 'gptq' }] })).toThrow(/offers rtn, hqq/);
    expect(() => quantizeWeights({ layers: [{ match: 'gemm', bits: 6 }] })).toThrow(/bits must be/);
  });

  test('leaves small and excluded weights alone and says why', async () => {
    const { records } = await quantizeWeights({ exclude: ['gemm', /^inn/] }).run(model(), {});
    expect(records.filter(({ note }) => note === 'excluded').map(({ name }) => name)).toEqual(['gemm', 'inner']);
    await expect(quantizeWeights({ exclude: [/./] }).run(model(), {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
  });

  test('warns about the CPU traps', async () => {
    const slow = await quantizeWeights({ bits: 8, accuracyLevel: 0 }).run(model(), {});
    expect(slow.warnings.join()).toMatch(/accuracy level 4/);
    expect(() => quantizeWeights({ bits: 5 })).toThrow(/2, 3, 4, 8/);
    expect(() => quantizeWeights({ blockSize: 512 })).toThrow(/block size/);
  });

  test('a clone made first is not touched', async () => {
    const original = model();
    const before = print(original);
    await quantizeWeights().run(cloneModel(original), {});
    expect(print(original)).toBe(before);
  });

  test('a weight that another node still reads stays, with a warning', async () => {
    const made = model();
    const b = new GraphBuilder(made.graph);
    b.output(b.op('ReduceSum', [made.graph.initializers.get('inner')!, b.constant('int64', [0])]), 'total');
    const { model: result, warnings } = await quantizeWeights().run(made, {});
    expect(result.graph.initializers.has('inner')).toBe(true);
    expect(warnings.join()).toMatch(/inner stays/);
    expect(check(result)).toEqual([]);
  });

  test('a model without matrices is a typed failure', async () => {
    const made = new Model();
    made.opsetImports.set('', 21);
    const b = new GraphBuilder(made.graph);
    b.output(b.op('Add', [b.input('x', tensorType('float32', [2])), b.initializer('w', denseOf('float32', [2], [1, 2]))]), 'y');
    await expect(quantizeWeights().run(made, {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
  });
});

describe('graphs that are not plain', () => {
  const linear = (weight: DenseTensor, attributes: Record<string, number> = {}, opType = 'MatMul'): { made: Model; b: GraphBuilder } => {
    const made = new Model();
    made.opsetImports.set('', 21);
    const b = new GraphBuilder(made.graph);
    const x = b.input('x', tensorType('float32', [2, 64]));
    b.output(b.op(opType, [x, b.initializer('w', weight)], attributes), 'y');
    return { made, b };
  };

  test('new values take names that are free in every graph', async () => {
    for (const format of ['qoperator', 'qdq'] as const) {
      const made = model();
      const b = new GraphBuilder(made.graph);
      for (const name of ['gemm.q4', 'table.q4_shape', 'table.q4_blocked', 'Gemm.out_product', 'Gemm.out_product_weight', 'inner.q4_scales']) {
        b.output(b.op('Identity', [made.graph.inputs[0]!], {}, { outputs: [name] }), name);
      }
      const { model: result, records } = await quantizeWeights({ format }).run(made, {});
      expect(check(result)).toEqual([]);
      expect(records.find(({ name }) => name === 'gemm')!.measuredBy).toBe('gemm.q4_1');
    }
  });

  test('weights of the same name in two branches get records of their own', async () => {
    const made = new Model();
    made.opsetImports.set('', 21);
    const b = new GraphBuilder(made.graph);
    const x = b.input('x', tensorType('float32', [2, 64]));
    const branch = (name: string): Graph => {
      const graph = new Graph(name);
      const g = new GraphBuilder(graph);
      g.output(g.op('MatMul', [x, g.initializer('w', matrix(64, 64))]), `${name}_y`);
      return graph;
    };
    b.output(b.op('If', [b.input('c', tensorType('bool', []))], { then_branch: attribute.graph(branch('a')), else_branch: attribute.graph(branch('b')) }), 'y');
    const { records } = await quantizeWeights().run(made, {});
    expect(records.map(({ measuredBy }) => measuredBy)).toEqual(['w.q4', 'w.q4_1']);
  });

  test('standard form keeps the weight in the graph that reads it; ONNX Runtime refuses it from an outer one', async () => {
    const { model: result } = await quantizeWeights({ format: 'qdq' }).run(model(), {});
    const [then] = [...result.graph.nodes()].flatMap((node) => node.subgraphs());
    expect([...then!.initializers.keys()]).toEqual(['inner.q4', 'inner.q4_scales']);
    expect([...result.graph.initializers.keys()].some((name) => name.startsWith('inner'))).toBe(false);
  });

  test('a function imports the operators that its body gets', async () => {
    const made = new Model();
    made.opsetImports.set('', 21);
    made.opsetImports.set('local', 1);
    const body = new Graph('body');
    const f = new GraphBuilder(body);
    const x = f.input('x', tensorType('float32', [2, 64]));
    const inner = new Graph('inner');
    const g = new GraphBuilder(inner);
    g.output(g.op('MatMul', [x, g.initializer('w', matrix(64, 64))]), 'inner_y');
    f.output(f.op('If', [f.input('c', tensorType('bool', []))], { then_branch: attribute.graph(inner), else_branch: attribute.graph(new Graph('none')) }), 'y');
    // Attributes of the caller are not known in the body.
    body.append(new Node('Gemm', [x, x], [new Value('unused')], { attributes: [['alpha', { kind: 'ref', name: 'alpha', of: 'float' }]] }));
    made.functions.push({ domain: 'local', name: 'F', overload: '', body, attributes: ['alpha'], attributeDefaults: new Map(), opsetImports: new Map([['', 21]]), extra: undefined });
    const { model: result } = await quantizeWeights().run(made, {});
    expect(result.functions[0]!.opsetImports.get('com.microsoft')).toBe(1);
    expect(result.opsetImports.has('com.microsoft')).toBe(false);
    expect(check(result)).toEqual([]);
  });

  test('before IR version 4 initializers are inputs too; they become constants', async () => {
    const { made } = linear(matrix(64, 64));
    made.irVersion = 3;
    made.graph.inputs.push(...made.graph.initializers.values());
    const { model: result } = await quantizeWeights().run(made, {});
    expect(result.irVersion).toBe(4);
    expect(result.graph.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(check(result)).toEqual([]);
  });

  test('from IR version 4 on an input with a default is left to the caller', async () => {
    const { made } = linear(matrix(64, 64));
    made.graph.inputs.push(...made.graph.initializers.values());
    await expect(quantizeWeights().run(made, {})).rejects.toThrow(/callers may override/);
  });

  test('a weight that a graph gives out stays', async () => {
    const { made } = linear(matrix(64, 64));
    const w = made.graph.initializers.get('w')!;
    made.graph.outputs.push(w);
    const { model: result, warnings } = await quantizeWeights().run(made, {});
    expect(result.graph.initializers.get('w')).toBe(w);
    expect(warnings.join()).toMatch(/w stays/);
  });

  test('a weight that only an inner graph gives out stays', async () => {
    const { made, b } = linear(matrix(64, 64));
    const inner = new Graph('inner');
    inner.outputs.push(made.graph.initializers.get('w')!);
    b.output(b.op('If', [b.input('c', tensorType('bool', []))], { then_branch: attribute.graph(inner), else_branch: attribute.graph(inner) }), 'chosen');
    const { model: result } = await quantizeWeights().run(made, {});
    expect(result.graph.initializers.has('w')).toBe(true);
  });

  test.each([
    ['dimensions', linear(new DenseTensor('float32', [2, 64, 64], new Uint8Array(2 * 64 * 64 * 4)))],
    ['alpha', linear(matrix(64, 64), { alpha: 2 }, 'Gemm')],
    ['transA', linear(matrix(64, 64), { transA: 1 }, 'Gemm')],
    ['bfloat16', linear(new DenseTensor('bfloat16', [64, 64], new Uint8Array(64 * 64 * 2)))],
  ])('says why a weight cannot be quantized: %s', async (reason, { made }) => {
    if (reason === 'alpha') [...made.graph.nodes()][0]!.attributes.set('alpha', attribute.float(2));
    await expect(quantizeWeights().run(made, {})).rejects.toThrow(reason);
  });

  test('a sparse weight is left alone', async () => {
    const { made } = linear(matrix(64, 64));
    const values = new DenseTensor('float32', [0], new Uint8Array());
    made.graph.initializers.get('w')!.tensor = new SparseTensor([64, 64], values, new DenseTensor('int64', [0], new Uint8Array()));
    await expect(quantizeWeights().run(made, {})).rejects.toThrow(/sparse/);
  });

  test('global patterns match every name', async () => {
    const { records } = await quantizeWeights({ exclude: [/gemm|inner/g] }).run(model(), {});
    expect(records.filter(({ note }) => note === 'excluded')).toHaveLength(2);
  });

  test('records count the bytes that are stored', async () => {
    const half = new DenseTensor('float16', [64, 72], new Uint8Array(64 * 72 * 2));
    for (const [format, bytes] of [['qoperator', 72 * (2 * 16 + 2 * 2 + 1)], ['qdq', 72 * (64 / 2 + 2 * 2 + 1)]] as const) {
      const { model: result, records } = await quantizeWeights({ format, symmetric: false }).run(linear(half).made, {});
      const stored = [...result.graph.initializers.values()].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0);
      expect([records[0]!.bytesAfter, stored], format).toEqual([bytes, bytes]);
    }
  });
});
