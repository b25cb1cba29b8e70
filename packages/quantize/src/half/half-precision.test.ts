/** Half precision on the reference engine, which rounds every result to float16: what overflows stays float32, and what does not is close. */
import { check, cloneModel, createRng, type DenseTensor, denseOf, type Feeds, Graph, GraphBuilder, inferShapes, inlineJobs, Model, type PassResult, tensorType, toDense, type Value } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { wasmKernels } from '@penjing/kernels';
import { describe, expect, test } from 'vitest';
import { halfPrecision, type HalfPrecisionOptions } from './half-precision.js';

const engine = referenceEngine();
const jobs = inlineJobs({ engine, kernels: wasmKernels() });
const rng = createRng(7);
const normal = (shape: readonly number[], scale = 1): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * rng.normal()));

function model(body: (b: GraphBuilder, x: Value) => Value, opset = 21): Model {
  const made = new Model();
  made.opsetImports.set('', opset);
  const b = new GraphBuilder(made.graph);
  b.output(body(b, b.input('x', tensorType('float32', ['n', 8]))), 'y');
  return made;
}

const samples: readonly Feeds[] = [{ x: normal([4, 8]) }, { x: normal([2, 8]) }];
const halved = (original: Model, options: HalfPrecisionOptions = {}): Promise<PassResult> => halfPrecision(options).run(cloneModel(original), { jobs, samples });
const blind = (original: Model): Promise<PassResult> => halfPrecision().run(cloneModel(original), {});

async function run(of: Model, feeds: Feeds = samples[0]!): Promise<number[]> {
  const loaded = cloneModel(of);
  for (const value of loaded.graph.initializers.values()) value.tensor = await toDense(value.tensor!);
  await using executor = await engine.load(loaded);
  return Object.values(await executor.run(feeds)).flatMap((tensor) => Array.from((tensor as DenseTensor).data as Float32Array, Number));
}

async function snr(a: Model, b: Model): Promise<number> {
  const [wanted, got] = [await run(a), await run(b)];
  return 10 * Math.log10(wanted.reduce((sum, x) => sum + x * x, 0) / wanted.reduce((sum, x, i) => sum + (x - got[i]!) ** 2, 0));
}

/** Operators by the type they compute in. */
function typesOf(of: Model): Record<string, string> {
  inferShapes(of);
  return Object.fromEntries([...of.graph.nodes()].map(({ opType, outputs }) => [opType, outputs[0]!.type?.kind === 'tensor' ? (outputs[0]!.type.dtype ?? '?') : '?']));
}

describe('halfPrecision', () => {
  test('computes in float16 between float32 inputs and outputs, weights stored so', async () => {
    const original = model((b, x) => b.op('Relu', [b.op('Gemm', [x, b.initializer('w', normal([8, 6])), b.initializer('c', normal([6]))])]));
    const { model: result, records, warnings } = await halved(original);
    expect(check(result)).toEqual([]);
    expect(typesOf(result)).toMatchObject({ Gemm: 'float16', Relu: 'float16' });
    expect([result.graph.inputs[0]!.type, result.graph.outputs[0]!.type].map((type) => type?.kind === 'tensor' && type.dtype)).toEqual(['float32', 'float32']);
    expect(records).toMatchObject([{ name: 'w', method: 'float16', bytesBefore: 192, bytesAfter: 96, measuredBy: 'w.half' }, { name: 'c' }]);
    expect([...result.graph.initializers.keys()].sort()).toEqual(['c.half', 'w.half']);
    expect(warnings).toEqual([]);
    expect(await snr(original, result)).toBeGreaterThan(55);
  });

  test('a value beyond 65,504 stays float32, with what reads it', async () => {
    const original = model((b, x) => {
      const large = b.op('Mul', [b.op('MatMul', [x, b.initializer('w', normal([8, 8], 100))]), b.constant('float32', 1000)], {}, { name: 'enlarge', outputs: ['large'] });
      return b.op('MatMul', [b.op('Div', [large, b.constant('float32', 1e5)], {}, { name: 'shrink' }), b.initializer('v', normal([8, 4]))]);
    });
    // Without data it is not seen: the outputs are of no use.
    expect((await run((await blind(original)).model)).every(Number.isFinite)).toBe(false);
    const { model: result, warnings } = await halved(original);
    expect(check(result)).toEqual([]);
    expect(typesOf(result)).toMatchObject({ MatMul: 'float16', Mul: 'float32', Div: 'float32' });
    expect(warnings).toEqual(expect.arrayContaining([expect.stringMatching(/^float32 stays, since large reaches \d\S+: Mul enlarge, Div shrink$/)]));
    expect(await snr(original, result)).toBeGreaterThan(55);
  });

  test('headroom: what is near the limit stays too; exclude is obeyed', async () => {
    const original = model((b, x) => b.op('Tanh', [b.op('Sqrt', [b.op('Abs', [b.op('Mul', [x, b.constant('float32', 1e4)], {}, { name: 'times' })])])]));
    expect(typesOf((await halved(original, { headroom: 1 })).model)).toMatchObject({ Mul: 'float16', Sqrt: 'float16' });
    expect(typesOf((await halved(original, { headroom: 4 })).model)).toMatchObject({ Mul: 'float32', Sqrt: 'float32', Tanh: 'float16' });
    expect(typesOf((await halved(original, { headroom: 1, exclude: [/times/] })).model)).toMatchObject({ Mul: 'float32', Abs: 'float16' });
    expect(() => halfPrecision({ headroom: 0.5 })).toThrow(/headroom is 0.5/);
  });

  test('constants that float16 cannot hold keep their nodes: the mask of an attention, an epsilon', async () => {
    const original = model((b, x) => {
      const scale = b.op('Sqrt', [b.op('Add', [b.op('ReduceMean', [b.op('Mul', [x, x]), b.constant('int64', [1])]), b.constant('float32', 1e-12)], {}, { name: 'epsilon' })]);
      const mask = b.op('Mul', [b.op('Sub', [b.constant('float32', 1), b.op('Sigmoid', [x])]), b.constant('float32', -3.4e38)], {}, { name: 'mask' });
      return b.op('Div', [b.op('Max', [x, mask]), scale]);
    });
    for (const { model: result, warnings } of [await halved(original), await blind(original)]) {
      expect(warnings.join('\n')).toMatch(/its constant .* is 1\.00e-12 at most, too small for float16: Add epsilon/);
      expect(warnings.join('\n')).toMatch(/reaches 3\.\d\de\+38: Mul mask/);
      expect(await snr(original, result)).toBeGreaterThan(50);
    }
  });

  test('what becomes 0 in float16 and divides is found by simulation', async () => {
    const original = model((b, x) => {
      // Rows differ: the largest is an ordinary number, the least vanishes.
      const tiny = b.op('Exp', [b.op('Mul', [b.op('Abs', [x]), b.constant('float32', -12)])], {}, { outputs: ['tiny'] });
      return b.op('Div', [tiny, tiny], {}, { name: 'ratio' });
    });
    expect((await run((await blind(original)).model)).every(Number.isFinite)).toBe(false);
    const { model: result, warnings } = await halved(original);
    expect(warnings.join('\n')).toMatch(/is not finite in float16: .*Div ratio/);
    for (const value of await run(result)) expect(value).toBe(1);
  });

  test('sums inside of a kernel count: a mean of many large values', async () => {
    const original = model((b, x) => b.op('ReduceMean', [b.op('Expand', [b.op('Unsqueeze', [b.op('Add', [x, b.constant('float32', 500)]), b.constant('int64', [2])]), b.constant('int64', [1, 1, 300])]), b.constant('int64', [2])], { keepdims: 0 }));
    const { model: result, warnings } = await halved(original);
    expect(typesOf(result)).toMatchObject({ ReduceMean: 'float32', Expand: 'float16' });
    expect(warnings.join('\n')).toMatch(/what it adds up may reach 1\.\d+e\+5: ReduceMean/);
  });

  test('angles of positions stay float32 from the first node on, subgraphs as a whole', async () => {
    const original = model((b, x) => {
      const positions = b.op('Cast', [b.op('Range', [b.constant('int64', 0), b.constant('int64', 8), b.constant('int64', 1)])], { to: 1 });
      const waves = b.op('Sin', [b.op('Mul', [positions, b.constant('float32', 0.3)], {}, { name: 'angles' })]);
      const branch = (name: string): Graph => {
        const inner = new Graph(name);
        const ib = b.inner(inner);
        ib.output(ib.op('Add', [sum, ib.initializer(`${name}.b`, normal([8]))]), `${name}.out`);
        return inner;
      };
      const sum = b.op('Add', [b.op('Tanh', [x]), waves]);
      return b.nodes('If', [b.constant('bool', 1)], { then_branch: { kind: 'graph', value: branch('then') } as never, else_branch: { kind: 'graph', value: branch('else') } as never })[0]!;
    });
    const { model: result, warnings } = await halved(original);
    expect(check(result)).toEqual([]);
    expect(typesOf(result)).toMatchObject({ Mul: 'float32', Sin: 'float32', Tanh: 'float16', Add: 'float16', If: 'float32' });
    expect(warnings.join('\n')).toMatch(/it computes angles from positions: .*Mul .*angles/);
    expect(await snr(original, result)).toBeGreaterThan(55);
  });

  test('inputs of an operator that are never float16 stay; what only looks at floats takes them as they come', async () => {
    const original = model((b, x) => {
      const picture = b.op('Reshape', [b.op('Tanh', [x]), b.constant('int64', [-1, 2, 2, 2])]);
      const larger = b.op('Resize', [picture, null, b.constant('float32', [1, 1, 2, 2])], { mode: 'nearest' });
      return b.op('Cast', [b.op('Shape', [larger])], { to: 1 });
    });
    const { model: result } = await halved(original);
    expect(check(result)).toEqual([]);
    expect(typesOf(result)).toMatchObject({ Resize: 'float16', Shape: 'int64' });
    const resize = [...result.graph.nodes()].find(({ opType }) => opType === 'Resize')!;
    expect(resize.input(2)!.tensor?.dtype).toBe('float32');
    expect(await run(result)).toEqual(await run(original));
  });

  test('nothing to do, and samples without a host, are errors', async () => {
    await expect(halved(model((b, x) => b.op('Sin', [x])))).rejects.toMatchObject({ code: 'E_NOTHING_TO_DO' });
    await expect(halfPrecision().run(model((b, x) => b.op('Relu', [x])), { samples })).rejects.toMatchObject({ code: 'E_ENGINE' });
  });
});
