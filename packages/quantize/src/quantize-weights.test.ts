import { attribute, check, cloneModel, createRng, DenseTensor, denseOf, Graph, GraphBuilder, Model, print, tensorType } from '@penjing/core';
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

  test('leaves small and excluded weights alone and says why', async () => {
    const { records } = await quantizeWeights({ exclude: ['gemm', /^inn/] }).run(model(), {});
    expect(records.filter(({ note }) => note === 'excluded').map(({ name }) => name)).toEqual(['gemm', 'inner']);
    await expect(quantizeWeights({ exclude: [/./] }).run(model(), {})).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
  });

  test('warns about the CPU traps', async () => {
    const slow = await quantizeWeights({ bits: 8, accuracyLevel: 0 }).run(model(), {});
    expect(slow.warnings.join()).toMatch(/accuracy level 4/);
    expect(() => quantizeWeights({ bits: 3 })).toThrow(/2, 4, 8/);
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
