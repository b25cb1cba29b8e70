/** The mechanism of the ATen table: signatures, binding, promotion, writes into views. Numbers are checked by tests/pt2*.test.ts. */
import { check, denseOf, type DenseTensor, type DType, Model, tensorType, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { describe, expect, test } from 'vitest';
import { bind } from './bind.js';
import { AtenContext, callAten, type Cell, Environment, finishAten, hasAten } from './index.js';
import { promoteTypes, resultType } from './promote.js';
import { parseSignature } from './signature.js';

function context(): AtenContext {
  const model = new Model();
  model.opsetImports.set('', 21);
  return new AtenContext(model);
}

async function run(c: AtenContext, output: Value, feeds: Readonly<Record<string, DenseTensor>>): Promise<{ data: number[]; shape: readonly number[]; dtype: DType }> {
  c.builder.output(output, 'y');
  finishAten(c.model);
  expect(check(c.model)).toEqual([]);
  await using executor = await referenceEngine().load(c.model);
  const { y } = await executor.run(feeds);
  return { data: Array.from((y as DenseTensor).data as ArrayLike<number | bigint>, Number), shape: y!.shape, dtype: y!.dtype };
}

describe('signatures', () => {
  test('are read in the notation of PyTorch', () => {
    const { name, overloads, parameters } = parseSignature('clamp.{default,Tensor}(Tensor self, Operand? min=None, *, int[2] size=[1,2], str mode=none)');
    expect([name, overloads]).toEqual(['clamp', ['default', 'Tensor']]);
    expect(parameters.map((p) => [p.name, p.kind.optional, p.kind.list?.length, p.fallback?.value])).toEqual([
      ['self', false, undefined, undefined], ['min', true, undefined, null], ['size', false, 2, [1, 2]], ['mode', false, undefined, 'none'],
    ]);
    expect(() => parseSignature('f(Banana x)')).toThrow(/Banana/);
  });

  test('bind by position and name, with defaults, and say what does not fit', () => {
    const signature = parseSignature('pool(int[2] kernel, int[2] stride=[], bool ceil=False, ScalarType? dtype=None)');
    expect(bind(signature, { positional: [3], keyword: { ceil: true, dtype: 'float16' } })).toEqual({ arguments: { kernel: [3, 3], stride: [], ceil: true, dtype: 'float16' } });
    // c10 numbers, as TorchScript has them
    expect(bind(signature, { positional: [3, [1, 2], false, 6] })).toMatchObject({ arguments: { stride: [1, 2], dtype: 'float32' } });
    for (const [call, message] of [
      [{ positional: [] }, 'kernel is missing'], [{ positional: [1, 1, true, null, 5] }, 'takes 4 arguments'], [{ positional: [1.5] }, 'kernel is 1.5'],
      [{ positional: [1], keyword: { speed: 1 } }, 'no argument speed'], [{ positional: [null] }, 'kernel is None'], [{ positional: [1], keyword: { dtype: 'float99' } }, 'dtype is "float99"'],
    ] as const) expect(bind(signature, call)).toMatchObject({ problem: expect.stringContaining(message) as string });
  });
});

test('promotion is that of PyTorch', () => {
  expect([promoteTypes('int8', 'uint8'), promoteTypes('float16', 'bfloat16'), promoteTypes('int64', 'float16'), promoteTypes('bool', 'uint8')])
    .toEqual(['int16', 'float32', 'float16', 'uint8']);
  const type = (...operands: [DType, 'tensor' | 'zeroDim' | 'number'][]): DType => resultType(operands.map(([dtype, weight]) => ({ dtype, weight })));
  expect(type(['float16', 'tensor'], ['float32', 'number'])).toBe('float16');
  expect(type(['float16', 'tensor'], ['float64', 'zeroDim'])).toBe('float16');
  expect(type(['int32', 'tensor'], ['float32', 'number'])).toBe('float32');
  expect(type(['uint8', 'tensor'], ['int64', 'zeroDim'])).toBe('uint8');
  expect(type(['bool', 'tensor'], ['int64', 'number'])).toBe('int64');
});

describe('callAten', () => {
  test('turns the weight of a linear layer lazily and keeps symbols', () => {
    const c = context();
    const x = c.builder.input('x', tensorType('float32', ['batch', 3, 4]));
    const weight = c.builder.initializer('weight', denseOf('float32', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]));
    const y = callAten(c, 'aten.linear.default', [x, weight, null]) as Value;
    const flat = callAten(c, 'aten.flatten', [y, 1]) as Value;
    expect(flat.type).toEqual(tensorType('float32', ['batch', 6]));
    c.builder.output(flat, 'y');
    finishAten(c.model);
    expect([...c.model.graph.nodes()].map(({ opType }) => opType)).toEqual(['MatMul', 'Reshape']);
    expect(weight.tensor!.shape).toEqual([4, 2]);
  });

  test('a table that is read as it is too is not turned', () => {
    const c = context();
    const ids = c.builder.input('ids', tensorType('int64', ['n']));
    const table = c.builder.initializer('table', denseOf('float32', [3, 2], [1, 2, 3, 4, 5, 6]));
    const x = callAten(c, 'aten.embedding.default', [table, ids]) as Value;
    c.builder.output(callAten(c, 'aten.linear', [x, table]) as Value, 'y');
    finishAten(c.model);
    expect([...c.model.graph.nodes()].map(({ opType }) => opType)).toEqual(['Gather', 'Transpose', 'MatMul']);
  });

  test('names what is missing or wrong', () => {
    const c = context();
    const x = c.builder.input('x', tensorType('float32', [2]));
    expect(() => callAten(c, 'aten.fft_hilbert', [x])).toThrow(expect.objectContaining({ code: 'E_UNSUPPORTED', message: expect.stringContaining('fft_hilbert') as string }));
    expect(() => callAten(c, 'aten.softmax.int', [x, 'last'])).toThrow(expect.objectContaining({ code: 'E_ARGUMENT', message: expect.stringContaining('dim is "last"') as string }));
    expect(() => callAten(c, 'aten.dropout.default', [x, 0.5, true])).toThrow(expect.objectContaining({ code: 'E_TRAINING' }));
    expect(hasAten('aten.add_.Tensor') && hasAten('aten::add') && hasAten('aten.add.out') && !hasAten('aten.add.Banana')).toBe(true);
  });

  test('an integer and 2.0 make floats, and 2 does not', async () => {
    const c = context();
    const x = c.builder.input('x', tensorType('int64', [2]));
    expect(c.dtype(callAten(c, 'aten.mul.Tensor', [x, 2]) as Value)).toBe('int64');
    const y = callAten(c, 'aten.mul.Tensor', [x, { kind: 'float', number: 2 }]) as Value;
    expect(await run(c, y, { x: denseOf('int64', [2], [1, 2]) })).toEqual({ data: [2, 4], shape: [2], dtype: 'float32' });
  });
});

describe('writes', () => {
  test('into a view of a view reach the tensor and its other views', async () => {
    const c = context();
    const program = new Environment(c);
    const x = program.cell(c.builder.input('x', tensorType('float32', [2, 3])));
    const doubled = program.call('aten.mul.Tensor', [x, 2]) as Cell;
    const column = program.call('aten.select.int', [doubled, 1, 0]) as Cell;
    const rows = program.call('aten.transpose.int', [doubled, 0, 1]) as Cell;
    const part = program.call('aten.slice.Tensor', [column, 0, 1, 2]) as Cell;
    expect(program.call('aten.fill_.Scalar', [part, 7])).toBe(part);
    const sum = program.call('aten.cat.default', [[rows, program.call('aten.unsqueeze.default', [column, 0])]]) as Cell;
    const { data, shape } = await run(c, program.read(sum), { x: denseOf('float32', [2, 3], [1, 2, 3, 4, 5, 6]) });
    expect(shape).toEqual([4, 2]);
    expect(data).toEqual([2, 7, 4, 10, 6, 12, 2, 7]);
  });

  test('into a view that repeats elements are refused', () => {
    const c = context();
    const program = new Environment(c);
    const x = program.cell(c.builder.input('x', tensorType('float32', [1])));
    const wide = program.call('aten.expand.default', [x, [3]]);
    expect(() => program.call('aten.add_.Tensor', [wide, 1])).toThrow(/view made by aten.expand.default/);
  });
});
