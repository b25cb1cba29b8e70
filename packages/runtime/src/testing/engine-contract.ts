/** What every `Engine` must do, as a suite: each implementation runs it and declares its gaps with a reason. */
import { DenseTensor, type Engine, GraphBuilder, Model, StringTensor, type Value, decodeText, denseOf, encodeText, tensorType, type DType } from '@penjing/core';
import { describe, expect, test } from 'vitest';

export interface ContractGaps {
  /** Element types that the engine cannot take or give, with the reason. */
  readonly dtypes?: Readonly<Partial<Record<DType, string>>>;
}

function modelOf(build: (b: GraphBuilder) => void, opset = 17): Model {
  const model = new Model();
  model.opsetImports.set('', opset);
  build(new GraphBuilder(model.graph));
  return model;
}

const float = (shape: readonly number[], values: readonly number[]): DenseTensor => denseOf('float32', shape, values);

/** y = x·w + bias, x (batch, 2), w (2, 3). */
function linear(): Model {
  return modelOf((b) => {
    const x = b.input('x', tensorType('float32', ['batch', 2]));
    const product = b.op('MatMul', [x, b.initializer('w', float([2, 3], [1, 2, 3, 4, 5, 6]))]);
    b.output(b.op('Add', [product, b.initializer('bias', float([3], [10, 20, 30]))]), 'y', tensorType('float32', ['batch', 3]));
  });
}

/** One Identity per type: what goes in comes out. */
function identities(dtypes: readonly DType[]): Model {
  return modelOf((b) => {
    for (const dtype of dtypes) {
      const type = tensorType(dtype, ['n']);
      b.output(b.op('Identity', [b.input(`in.${dtype}`, type)]), `out.${dtype}`, type);
    }
  });
}

const samples: readonly (readonly [DType, DenseTensor['data']])[] = [
  ['float32', Float32Array.of(1.5, -0, NaN, Infinity)],
  ['float64', Float64Array.of(Math.PI, -1e300)],
  ['float16', Uint16Array.of(0x3c00, 0xfc00, 0x7e00, 0x0001)],
  ['int8', Int8Array.of(-128, 127)],
  ['int16', Int16Array.of(-32768, 32767)],
  ['int32', Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
  ['int64', BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
  ['uint8', Uint8Array.of(0, 255)],
  ['uint16', Uint16Array.of(65535)],
  ['uint32', Uint32Array.of(2 ** 32 - 1)],
  ['uint64', BigUint64Array.of(2n ** 64n - 1n)],
  ['bool', Uint8Array.of(0, 1, 1)],
];

/** Runs the suite on engines that `makeEngine` makes. */
export function engineContract(name: string, makeEngine: () => Engine | Promise<Engine>, gaps: ContractGaps = {}): void {
  describe(`${name} keeps the engine contract`, () => {
    test('it has a name', async () => {
      expect((await makeEngine()).name).toMatch(/\S/);
    });

    test('feeds stay as they were, but for those that are given away', async () => {
      await using executor = await (await makeEngine()).load(linear());
      const [kept, given] = [float([2, 2], [1, 0, 0, 1]), float([2, 2], [1, 0, 0, 1])];
      const { y } = await executor.run({ x: kept });
      expect(kept.byteLength).toBe(16);
      expect((await executor.run({ x: given }, { transfer: ['x'] }))['y']).toEqual(y);
      // what looks into a buffer of others must not take it
      const shared = new Float32Array([9, 9, 1, 0, 0, 1]);
      const view = DenseTensor.of('float32', [2, 2], shared.subarray(2));
      expect((await executor.run({ x: view }, { transfer: ['x'] }))['y']).toEqual(y);
      expect(shared).toHaveLength(6);
    });

    test('it runs a model and describes its values', async () => {
      await using executor = await (await makeEngine()).load(linear());
      expect(executor.inputs).toEqual([{ name: 'x', type: tensorType('float32', ['batch', 2]) }]);
      expect(executor.outputs).toEqual([{ name: 'y', type: tensorType('float32', ['batch', 3]) }]);
      const { y } = await executor.run({ x: float([2, 2], [1, 0, 0, 1]) });
      expect(y).toMatchObject({ kind: 'dense', dtype: 'float32', shape: [2, 3] });
      expect([...(y as DenseTensor).data]).toEqual([11, 22, 33, 14, 25, 36]);
    });

    test('it runs again and again, also at the same time, and leaves the feeds alone', async () => {
      await using executor = await (await makeEngine()).load(linear());
      const x = float([1, 2], [1, 1]);
      const runs = await Promise.all(Array.from({ length: 8 }, () => executor.run({ x })));
      for (const { y } of runs) expect([...(y as DenseTensor).data]).toEqual([15, 27, 39]);
      expect([...x.data]).toEqual([1, 1]);
      runs.forEach(({ y }, i) => (y as DenseTensor).bytes.fill(i));
      expect(new Set(runs.map(({ y }) => (y as DenseTensor).bytes[0])).size).toBe(8);
    });

    test('feeds may be views into larger buffers', async () => {
      await using executor = await (await makeEngine()).load(linear());
      const large = Float32Array.of(9, 9, 1, 1, 9);
      const { y } = await executor.run({ x: DenseTensor.of('float32', [1, 2], large.subarray(2, 4)) });
      expect([...(y as DenseTensor).data]).toEqual([15, 27, 39]);
      expect([...large]).toEqual([9, 9, 1, 1, 9]);
    });

    test('empty tensors and scalars pass', async () => {
      const engine = await makeEngine();
      await using executor = await engine.load(linear());
      expect((await executor.run({ x: float([0, 2], []) })).y).toMatchObject({ shape: [0, 3], byteLength: 0 });
      const scalar = modelOf((b) => {
        b.output(b.op('Neg', [b.input('x', tensorType('float32', []))]), 'y', tensorType('float32', []));
      });
      await using second = await engine.load(scalar);
      const { y } = await second.run({ x: float([], [2]) });
      expect(y).toMatchObject({ shape: [] });
      expect([...(y as DenseTensor).data]).toEqual([-2]);
    });

    test('only the outputs that are asked for come back', async () => {
      const model = modelOf((b) => {
        const x = b.input('x', tensorType('float32', [1]));
        for (const op of ['Neg', 'Abs', 'Exp']) b.output(b.op(op, [x]), op.toLowerCase(), tensorType('float32', [1]));
      });
      await using executor = await (await makeEngine()).load(model);
      expect(Object.keys(await executor.run({ x: float([1], [1]) }))).toEqual(['neg', 'abs', 'exp']);
      expect(Object.keys(await executor.run({ x: float([1], [1]) }, { outputs: ['exp', 'neg'] }))).toEqual(['exp', 'neg']);
      await expect(executor.run({ x: float([1], [1]) }, { outputs: ['log'] })).rejects.toMatchObject({ code: 'E_INPUT' });
    });

    test('wrong feeds are named', async () => {
      await using executor = await (await makeEngine()).load(linear());
      const refused = async (feeds: Record<string, DenseTensor>, text: RegExp): Promise<void> => {
        await expect(executor.run(feeds)).rejects.toMatchObject({ code: 'E_INPUT', message: expect.stringMatching(text) as string });
      };
      const x = float([1, 2], [1, 1]);
      await refused({}, /\bx\b/);
      await refused({ x, z: x }, /\bz\b/);
      await refused({ x, w: x }, /\bw\b/);
      await refused({ x: denseOf('float64', [1, 2], [1, 1]) }, /\bx\b.*float64/);
      await refused({ x: float([1, 3], [1, 1, 1]) }, /\bx\b.*3/);
      await refused({ x: float([2], [1, 1]) }, /\bx\b/);
      expect([...((await executor.run({ x })).y as DenseTensor).data]).toEqual([15, 27, 39]);
    });

    test('every element type goes through bit by bit', async () => {
      const given = samples.filter(([dtype]) => !gaps.dtypes?.[dtype]);
      await using executor = await (await makeEngine()).load(identities(given.map(([dtype]) => dtype)));
      const feeds = Object.fromEntries(given.map(([dtype, data]) => [`in.${dtype}`, DenseTensor.of(dtype, [data.length], data)]));
      const results = await executor.run(feeds);
      for (const [dtype, data] of given) {
        const result = results[`out.${dtype}`] as DenseTensor;
        expect(result).toMatchObject({ kind: 'dense', dtype, shape: [data.length] });
        expect(Buffer.from(result.bytes), dtype).toEqual(Buffer.from(feeds[`in.${dtype}`]!.bytes));
      }
    });

    test.skipIf(gaps.dtypes?.string)('strings go through', async () => {
      await using executor = await (await makeEngine()).load(identities(['string']));
      const values = ['', 'penjing', '盆景 🌳'];
      const result = (await executor.run({ 'in.string': new StringTensor([3], values.map((text) => encodeText(text))) }))['out.string'] as StringTensor;
      expect(result).toMatchObject({ kind: 'string', shape: [3] });
      expect(result.values.map((bytes) => decodeText(bytes))).toEqual(values);
    });

    test('subgraphs read values of the graph around them', async () => {
      const model = modelOf((b) => {
        const c = b.input('c', tensorType('bool', []));
        const x = b.input('x', tensorType('float32', [2]));
        const branch = (opType: string) => {
          const inner = new Model().graph;
          inner.name = opType;
          const body = new GraphBuilder(inner);
          body.output(body.op(opType, [x], {}, { outputs: [`${opType}.y`] }), `${opType}.y`, tensorType('float32', [2]));
          return { kind: 'graph', value: inner } as const;
        };
        b.output(b.op('If', [c], { then_branch: branch('Neg'), else_branch: branch('Identity') }), 'y', tensorType('float32', [2]));
      });
      await using executor = await (await makeEngine()).load(model);
      const run = async (c: number): Promise<number[]> => {
        const { y } = await executor.run({ c: denseOf('bool', [], [c]), x: float([2], [1, 2]) });
        return [...((y as DenseTensor).data as Float32Array)];
      };
      expect(await run(1)).toEqual([-1, -2]);
      expect(await run(0)).toEqual([1, 2]);
    });

    test('a run that fails inside is a typed error, and the executor goes on', async () => {
      const model = modelOf((b) => {
        const shape = b.input('shape', tensorType('int64', [1]));
        b.output(b.op('Reshape', [b.constant('float32', [1, 2, 3]), shape]), 'y', tensorType('float32', ['n']));
      });
      await using executor = await (await makeEngine()).load(model);
      await expect(executor.run({ shape: denseOf('int64', [1], [5]) })).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
      expect((await executor.run({ shape: denseOf('int64', [1], [3]) })).y).toMatchObject({ shape: [3] });
    });

    test('a model with an unknown operator is a typed error', async () => {
      const model = modelOf((b) => {
        const x: Value = b.input('x', tensorType('float32', [1]));
        b.output(b.op('NoSuchOperator', [x]), 'y', tensorType('float32', [1]));
      });
      const load = async (): Promise<void> => {
        await using executor = await (await makeEngine()).load(model);
        await executor.run({ x: float([1], [1]) });
      };
      await expect(load()).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) as string });
    });

    test('the same model can be loaded twice, and is left as it was', async () => {
      const engine = await makeEngine();
      const model = linear();
      await using first = await engine.load(model);
      await using second = await engine.load(model);
      const x = float([1, 2], [1, 1]);
      const [a, b] = await Promise.all([first.run({ x }), second.run({ x })]);
      expect((a.y as DenseTensor).bytes).toEqual((b.y as DenseTensor).bytes);
      expect([...model.graph.initializers.keys()]).toEqual(['w', 'bias']);
    });

    test('an aborted signal rejects load and run with its reason', async () => {
      const engine = await makeEngine();
      const signal = AbortSignal.abort(new Error('no more'));
      await expect(engine.load(linear(), { signal })).rejects.toThrow('no more');
      await using executor = await engine.load(linear());
      await expect(executor.run({ x: float([1, 2], [1, 1]) }, { signal })).rejects.toThrow('no more');
      expect(await executor.run({ x: float([1, 2], [1, 1]) })).toHaveProperty('y');
    });

    test('a disposed executor refuses to run, and may be disposed again', async () => {
      const executor = await (await makeEngine()).load(linear());
      await executor[Symbol.asyncDispose]();
      await executor[Symbol.asyncDispose]();
      await expect(executor.run({ x: float([1, 2], [1, 1]) })).rejects.toMatchObject({ code: 'E_DISPOSED' });
    });
  });
}
