/** Models made here come back from their files as they were; layouts are exact. */
import {
  type Attribute, attribute, check, DenseTensor, type DType, dtypeNames, byteSize, Graph, lazy, type LazyTensor, memorySource,
  Model, Node, print, SparseTensor, StringTensor, type Tensor, Value, type ValueType,
} from '@penjing/core';
import { type FileLayout, layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const write = async (model: Model): Promise<Uint8Array> => layoutToBytes(serializeOnnx(model, { externalData: 'never' })[0]!);
const read = (bytes: Uint8Array): Promise<Model> => readOnnx(memorySource(bytes));
const float = (shape: readonly (number | string | null)[]): ValueType => ({ kind: 'tensor', dtype: 'float32', shape });

function newModel(graph = new Graph('main')): Model {
  const model = new Model(graph);
  model.opsetImports.set('', 21);
  return model;
}

/** Sorted: a file keeps dense and sparse weights apart. */
const lines = (model: Model): string[] => print(model).split('\n').sort();

describe('random models', () => {
  const name = fc.oneof(fc.string({ minLength: 1, maxLength: 12 }), fc.constantFrom('__proto__', 'constructor', 'a\0b', '\udc80\udcff', 'ümläut'));
  const dim = fc.oneof(fc.nat(5), fc.string(), fc.constant(null));
  const numeric = fc.constantFrom(...dtypeNames.filter((dtype) => dtype !== 'string'));
  const type: fc.Arbitrary<ValueType> = fc.letrec<{ type: ValueType }>((tie) => ({
    type: fc.oneof({ maxDepth: 2 },
      fc.record({ kind: fc.constantFrom('tensor' as const, 'sparse' as const), dtype: numeric, shape: fc.array(dim, { maxLength: 4 }) }),
      fc.record({ kind: fc.constant('tensor' as const), dtype: fc.constant('string' as const), denotation: fc.string({ minLength: 1 }) }),
      fc.record({ kind: fc.constantFrom('sequence' as const, 'optional' as const), of: tie('type') }),
      fc.record({ kind: fc.constant('map' as const), key: fc.constantFrom('int64' as const, 'string' as const), value: tie('type') }),
      fc.record({ kind: fc.constant('opaque' as const), bytes: fc.constant(Uint8Array.of(0x3a, 2, 0x12, 0)) })),
  })).type;
  const tensor: fc.Arbitrary<Tensor> = fc.oneof(
    fc.tuple(numeric, fc.array(fc.nat(6), { maxLength: 3 })).map(([dtype, shape]) => dense(dtype, shape)),
    fc.array(fc.uint8Array(), { maxLength: 4 }).map((values) => new StringTensor([values.length], values)),
    fc.constant(new SparseTensor([3, 4], dense('float32', [2]), dense('int64', [2]))),
  );
  const plain: fc.Arbitrary<Attribute> = fc.oneof(
    fc.float({ noNaN: true }).map(attribute.float),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(attribute.int),
    fc.uint8Array().map((value): Attribute => ({ kind: 'string', value })),
    fc.array(fc.float({ noNaN: true })).map(attribute.floats),
    fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(attribute.ints),
    fc.array(fc.uint8Array()).map((value): Attribute => ({ kind: 'strings', value })),
    tensor.map((value): Attribute => (value.kind === 'sparse' ? { kind: 'sparseTensor', value } : { kind: 'tensor', value })),
    type.map((value): Attribute => ({ kind: 'type', value, doc: 'why' })),
    fc.string({ minLength: 1 }).map((ref): Attribute => ({ kind: 'ref', name: ref, of: 'floats' })),
  );
  const node = fc.record({
    opType: name, domain: fc.constantFrom('', 'com.microsoft', 'own'), inputs: fc.array(fc.nat(30), { maxLength: 4 }),
    outputs: fc.array(fc.option(type), { minLength: 1, maxLength: 3 }), attributes: fc.array(fc.tuple(name, plain), { maxLength: 4 }),
    skipped: fc.boolean(), inner: fc.boolean(), doc: fc.string(), metadata: fc.array(fc.tuple(name, fc.string()), { maxLength: 2 }),
  });
  const graph = fc.record({
    inputs: fc.array(type, { minLength: 1, maxLength: 3 }), weights: fc.array(tensor, { maxLength: 4 }),
    nodes: fc.array(node, { maxLength: 8 }), text: fc.string(),
  });

  test('are the same after one round, byte for byte after two', async () => {
    await fc.assert(fc.asyncProperty(graph, async (plan) => {
      const model = build(plan);
      expect(check(model)).toEqual([]);
      const bytes = await write(model);
      const again = await read(bytes);
      expect(check(again)).toEqual([]);
      expect(lines(again)).toEqual(lines(model));
      expect(Buffer.compare(await write(again), bytes)).toBe(0);
    }), { numRuns: 200 });
  });

  type Plan = typeof graph extends fc.Arbitrary<infer T> ? T : never;

  /** A sound model: values are read after they are made; a node may hold a graph that captures values. */
  function build(plan: Plan): Model {
    const main = new Graph(plan.text);
    main.doc = plan.text;
    const model = newModel(main);
    model.opsetImports.set('com.microsoft', 1).set('own', 3);
    model.metadata.set('__proto__', plan.text).set('key', '');
    model.modelVersion = -5n;
    const values: Value[] = [];
    const made = (value: Value): Value => (values.push(value), value);
    plan.inputs.forEach((type, i) => main.inputs.push(made(new Value(`in ${i}`, type))));
    plan.weights.forEach((tensor, i) => made(main.addInitializer(`weight ${i}`, tensor)));
    for (const [i, step] of plan.nodes.entries()) {
      const inputs = step.inputs.map((at) => values[at % values.length]!);
      const outputs = step.outputs.map((type, k) => new Value(`value ${i} ${k}`, type ?? undefined));
      if (step.skipped) outputs.unshift(new Value(''));
      const node = new Node(step.opType, step.skipped ? [null, ...inputs] : inputs, outputs, {
        domain: step.domain, name: `node ${i}`, attributes: step.attributes,
      });
      if (step.inner) node.attributes.set('body', attribute.graph(innerGraph(i, values)));
      node.doc = step.doc;
      for (const [key, value] of step.metadata) node.metadata.set(key, value);
      main.append(node);
      outputs.filter((value) => value.name !== '').forEach(made);
    }
    main.outputs.push(values.at(-1)!);
    return model;
  }

  function innerGraph(i: number, outer: readonly Value[]): Graph {
    const inner = new Graph(`body ${i}`);
    const result = new Value(`inner ${i}`, float(['n']));
    inner.append(new Node('Add', [outer[0]!, outer.at(-1)!], [result]));
    inner.outputs.push(result);
    return inner;
  }
});

describe('what files may hold', () => {
  test('nodes out of order are read in execution order, captures of inner graphs counted', async () => {
    const graph = new Graph('g');
    const x = new Value('x', float([2]));
    const [a, b, c, y] = ['a', 'b', 'c', 'y'].map((name) => new Value(name)) as [Value, Value, Value, Value];
    graph.inputs.push(x);
    const inner = new Graph('then');
    const result = new Value('r');
    inner.append(new Node('Neg', [b], [result]));
    inner.outputs.push(result);
    graph.append(new Node('Add', [c, a], [y]));
    graph.append(new Node('If', [x], [c], { attributes: [['then_branch', attribute.graph(inner)]] }));
    graph.append(new Node('Neg', [x], [a]));
    graph.append(new Node('Neg', [a], [b]));
    graph.outputs.push(y);
    const model = await read(await write(newModel(graph)));
    expect([...model.graph.nodes()].map((node) => node.output().name)).toEqual(['a', 'b', 'c', 'y']);
    expect(check(model)).toEqual([]);
  });

  test('inner names hide outer ones, wherever they are defined', async () => {
    const graph = new Graph('g');
    const x = new Value('x', float([2]));
    graph.inputs.push(x);
    const inner = new Graph('body');
    const hidden = new Value('x');
    inner.append(new Node('Neg', [hidden], [new Value('r')]));
    inner.append(new Node('Abs', [x], [new Value('s')]));
    inner.append(new Node('Constant', [], [hidden]));
    inner.outputs.push(hidden);
    const y = new Value('y');
    graph.append(new Node('If', [x], [y], { attributes: [['then_branch', attribute.graph(inner)]] }));
    graph.outputs.push(y);
    const model = await read(await write(newModel(graph)));
    const body = [...model.graph.nodes()][0]!.subgraph('then_branch')!;
    expect(model.graph.inputs[0]!.useCount).toBe(1); // only the If
    expect(body.outputs[0]!.useCount).toBe(2);
    expect([...body.nodes()][0]!.opType).toBe('Constant');
  });

  test('an initializer that is an input too keeps both roles', async () => {
    const graph = new Graph('g');
    const w = new Value('w', float(['n']), dense('float32', [3]));
    graph.inputs.push(w);
    graph.initializers.set('w', w);
    graph.outputs.push(w);
    const model = await read(await write(newModel(graph)));
    expect(model.graph.inputs[0]).toBe(model.graph.initializers.get('w'));
    expect(model.graph.outputs[0]).toBe(model.graph.inputs[0]);
    expect(model.graph.inputs[0]!.type).toEqual(float(['n']));
  });

  test('functions keep overloads, defaults, references and types', async () => {
    const body = new Graph('f');
    const [x, t, y] = [new Value('x', float(['n'])), new Value('t', float([1])), new Value('y', float(['n']))];
    body.inputs.push(x);
    body.append(new Node('LeakyRelu', [x], [t], { attributes: [['alpha', { kind: 'ref', name: 'slope', of: 'float' }]] }));
    body.append(new Node('Neg', [t], [y]));
    body.outputs.push(y);
    const model = newModel();
    model.functions.push({
      domain: 'own', name: 'f', overload: 'v2', body, attributes: ['needed'], opsetImports: new Map([['', 21]]), extra: undefined,
      attributeDefaults: new Map([['slope', attribute.float(0.5)]]),
    });
    const again = (await read(await write(model))).functions[0]!;
    expect({ ...again, body: undefined }).toEqual({ ...model.functions[0]!, body: undefined });
    expect([...again.body.nodes()][0]!.attributes.get('alpha')).toEqual({ kind: 'ref', name: 'slope', of: 'float' });
    expect(again.body.inputs[0]!.type).toEqual(float(['n']));
    expect([...again.body.nodes()][0]!.output().type).toEqual(float([1]));
  });

  test('fields nobody knows yet are written back', async () => {
    const model = newModel();
    model.extra = Uint8Array.of(0xa2, 0x01, 0x00); // an empty training_info
    model.graph.extra = Uint8Array.of(0x72, 0x03, 0x0a, 0x01, 0x77); // a quantization annotation
    const x = new Value('x');
    x.extra = Uint8Array.of(0x98, 0x06, 0x07);
    model.graph.inputs.push(x);
    const again = await read(await write(model));
    expect([again.extra, again.graph.extra, again.graph.inputs[0]!.extra]).toEqual([model.extra, model.graph.extra, x.extra]);
  });
});

describe('layouts', () => {
  const big = (name: string, bytes: number, model = newModel()): Model => {
    model.graph.addInitializer(name, lazy.fill('float32', [bytes / 4], 1));
    return model;
  };

  test('pieces are in order, do not overlap and fill the file; external tensors start on pages', async () => {
    const model = newModel();
    for (const [i, count] of [1, 300, 2000, 5000, 1024].entries()) model.graph.addInitializer(`w${i}`, dense('float32', [count]));
    for (const externalData of ['never', 'always'] as const) {
      const files = serializeOnnx(model, { name: 'onnx/model_q4.onnx', externalData });
      expect(files.map((file) => file.name)).toEqual(externalData === 'never' ? ['onnx/model_q4.onnx'] : ['onnx/model_q4.onnx', 'onnx/model_q4.onnx_data']);
      expect(end(files[0]!, 1)).toBe(files[0]!.size);
      if (files[1]) expect(end(files[1], 4096)).toBe(files[1].size);
    }
  });

  test('external weights come back, and equal ones are stored once', async () => {
    const model = newModel();
    const shared = dense('float32', [1000]);
    model.graph.addInitializer('a', shared);
    model.graph.addInitializer('b', shared);
    model.graph.addInitializer('shape', dense('int64', [200]));
    const files = serializeOnnx(model, { externalData: 'always' });
    expect(files[1]!.size).toBe(4000);
    const data = await layoutToBytes(files[1]!);
    const again = await readOnnx(memorySource(await layoutToBytes(files[0]!)), {
      externalSource: async (location) => (expect(location).toBe('model.onnx_data'), memorySource(data)),
    });
    const [a, b, shape] = [...again.graph.initializers.values()].map(({ tensor }) => tensor!);
    expect(shape!.kind).toBe('lazy'); // inside: shape inference may read it
    expect((a as LazyTensor).expr).toEqual((b as LazyTensor).expr);
    expect(serializeOnnx(again, { externalData: 'always' })[1]!.size).toBe(4000);
    expect(Buffer.compare(data, shared.bytes)).toBe(0);
  });

  test('weights move outside above 1 GiB, and 2 GiB inside is refused', () => {
    expect(serializeOnnx(big('w', 2 ** 30))).toHaveLength(1);
    expect(serializeOnnx(big('v', 4, big('w', 2 ** 30)))).toHaveLength(2);
    const large = big('w', 2 ** 40);
    expect(serializeOnnx(large)[1]!.size).toBe(2 ** 40);
    expect(() => serializeOnnx(large, { externalData: 'never' })).toThrow(expect.objectContaining({ code: 'E_ONNX_SIZE' }) as Error);
  });

  test('the name of the data file is checked', () => {
    expect(() => serializeOnnx(big('w', 4096), { externalData: 'always', externalName: '../w' })).toThrow(expect.objectContaining({ code: 'E_EXTERNAL_DATA' }) as Error);
  });

  /** Where the last piece ends, after checking each. */
  function end(file: FileLayout, alignment: number): number {
    let at = 0;
    for (const piece of file.pieces) {
      expect(piece.offset).toBe(Math.ceil(at / alignment) * alignment);
      at = piece.offset + (piece.kind === 'bytes' ? piece.bytes.length : piece.kind === 'tensor' ? piece.tensor.byteLength : 4);
    }
    return at;
  }
});

function dense(dtype: DType, shape: readonly number[]): DenseTensor {
  const size = byteSize(dtype, shape.reduce((a, b) => a * b, 1));
  return new DenseTensor(dtype, shape, Uint8Array.from({ length: size }, (_, i) => (i * 31 + 7) & 0xff));
}
