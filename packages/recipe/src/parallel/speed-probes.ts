/** Small graphs that each do one kind of work many times over, so that what a call costs hardly counts beside it. */
import { DenseTensor, denseOf, type Feeds, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

export interface SpeedProbe {
  /** A kind of work of the cost model, or `bandwidth`, `node`, `call`. */
  readonly kind: string;
  /** What its rate is listed against: rows, length of the sums, elements, bytes. */
  readonly size: number;
  /** Multiplications and additions, elements, bytes or nodes of one run. */
  readonly amount: number;
  /** Nodes of one run, where what each costs beyond its work counts. */
  readonly nodes?: number;
  readonly make: () => Model;
}

const WIDTH = 512;
/** Bytes of weights that are read once per run: in caches, and in memory. */
const RESIDENT = [8, 128].map((megabytes) => megabytes * 2 ** 20);

/** The input is one number and the output another: what moves between threads is next to nothing. */
function chain(shape: readonly number[], links: number, link: (b: GraphBuilder, x: Value, i: number) => Value): Model {
  const model = new Model();
  model.opsetImports.set('', 17);
  model.opsetImports.set('com.microsoft', 1);
  model.irVersion = 9;
  const b = new GraphBuilder(model.graph);
  let x = b.op('Expand', [b.input('x', tensorType('float32', [1])), b.constant('int64', shape)]);
  for (let i = 0; i < links; i++) x = link(b, x, i);
  b.output(b.op('ReduceMax', [x], { keepdims: 0 }), 'y', tensorType('float32', []));
  return model;
}

/** All alike, and such that a chain keeps its size: denormal numbers would be slow. */
function weight(b: GraphBuilder, name: string, ...shape: number[]): Value {
  const elements = shape.reduce((all, dim) => all * dim, 1);
  const summed = shape.length === 2 ? shape[0]! : elements / shape[0]!;
  return b.initializer(name, DenseTensor.of('float32', shape, new Float32Array(elements).fill(1 / summed)));
}

function product(rows: number): SpeedProbe {
  const links = rows >= 256 ? 4 : 8;
  return { kind: 'product', size: rows, amount: links * 2 * rows * WIDTH * WIDTH, make: () => chain([rows, WIDTH], links, (b, x, i) => b.op('MatMul', [x, weight(b, `w${i}`, WIDTH, WIDTH)])) };
}

/** One row, so that every weight read is used once. */
function reading(bytes: number): SpeedProbe {
  const width = bytes >= 2 ** 25 ? 2 * WIDTH : WIDTH;
  const links = bytes / (4 * width * width);
  return { kind: 'bandwidth', size: bytes, amount: bytes, make: () => chain([1, width], links, (b, x, i) => b.op('MatMul', [x, weight(b, `w${i}`, width, width)])) };
}

/** 8 heads of 64: scores and what they mix. */
function attention(rows: number): SpeedProbe {
  const [heads, width, links] = [8, 64, 4];
  return {
    kind: 'attention', size: rows, amount: links * 4 * heads * rows * rows * width,
    make: () => chain([heads, rows, width], links, (b, x) => b.op('MatMul', [b.op('MatMul', [x, b.op('Transpose', [x], { perm: [0, 2, 1] })]), x])),
  };
}

/** The same as one operator, with the softmax between. */
function fusedAttention(rows: number): SpeedProbe {
  const [heads, width, links] = [8, 64, 4];
  return {
    kind: 'fusedAttention', size: rows, amount: links * 4 * heads * rows * rows * width,
    make: () => chain([1, rows, heads * width], links, (b, x) => b.op('MultiHeadAttention', [x, x, x], { num_heads: heads }, { domain: 'com.microsoft' })),
  };
}

function convolution(channels: number, pixels: number, kernel: number): SpeedProbe {
  const links = 6;
  return {
    kind: 'convolution', size: channels * kernel * kernel, amount: links * 2 * channels * channels * kernel * kernel * pixels * pixels,
    make: () => chain([1, channels, pixels, pixels], links, (b, x, i) => b.op('Conv', [x, weight(b, `w${i}`, channels, channels, kernel, kernel)], { pads: Array(4).fill((kernel - 1) / 2) as number[] })),
  };
}

const depthwise: SpeedProbe = {
  kind: 'depthwise', size: 9, amount: 6 * 2 * 96 * 9 * 28 * 28,
  make: () => chain([1, 96, 28, 28], 6, (b, x, i) => b.op('Conv', [x, weight(b, `w${i}`, 96, 1, 3, 3)], { pads: [1, 1, 1, 1], group: 96 })),
};

function packed(rows: number): SpeedProbe {
  const blocks = WIDTH / 32;
  return {
    kind: 'packed', size: rows, amount: 8 * 2 * rows * WIDTH * WIDTH,
    make: () => chain([rows, WIDTH], 8, (b, x, i) => {
      const scales = DenseTensor.of('float32', [WIDTH * blocks], new Float32Array(WIDTH * blocks).fill(0.01));
      return b.op('MatMulNBits', [x, b.initializer(`q${i}`, new DenseTensor('uint8', [WIDTH, blocks, 16], new Uint8Array(WIDTH * blocks * 16).fill(0x97))), b.initializer(`s${i}`, scales)], { K: WIDTH, N: WIDTH, bits: 4, block_size: 32 }, { domain: 'com.microsoft' });
    }),
  };
}

const integer: SpeedProbe = {
  kind: 'integer', size: 64, amount: 8 * 2 * 64 * WIDTH * WIDTH,
  make: () => chain([64, WIDTH], 8, (b, x, i) => {
    const [q, scale] = b.nodes('DynamicQuantizeLinear', [x], {}, { outputCount: 3 });
    const values = Int8Array.from({ length: WIDTH * WIDTH }, (_, at) => ((at * 37) % 255) - 127);
    const sums = b.op('MatMulInteger', [q, b.initializer(`w${i}`, DenseTensor.of('int8', [WIDTH, WIDTH], values))]);
    return b.op('Mul', [b.op('Cast', [sums], { to: 1 }), b.op('Mul', [scale, b.constant('float32', 1e-4)])]);
  }),
};

/** Neither folded nor fused: every link reads the result of the one before. */
function elementwise(elements: number): SpeedProbe {
  const links = elements > 1e5 ? 16 : 512;
  return { kind: 'elementwise', size: elements, amount: links * elements, nodes: links, make: () => chain([elements], links, (b, x, i) => (i % 2 === 0 ? b.op('Max', [x, b.constant('float32', -0.5)]) : b.op('Neg', [x]))) };
}

function transcendental(elements: number): SpeedProbe {
  const links = elements > 1e5 ? 16 : 128;
  return { kind: 'transcendental', size: elements, amount: links * elements, nodes: links, make: () => chain([elements], links, (b, x, i) => b.op(i % 2 === 0 ? 'Tanh' : 'Sigmoid', [x])) };
}

const NODES = 512;
export const nodeProbe: SpeedProbe = { kind: 'node', size: 1, amount: NODES, make: () => chain([1], NODES, (b, x, i) => (i % 2 === 0 ? b.op('Max', [x, b.constant('float32', -0.5)]) : b.op('Neg', [x]))) };
export const callProbe: SpeedProbe = { kind: 'call', size: 1, amount: 1, make: () => chain([1], 1, (b, x) => b.op('Neg', [x])) };

export const speedProbes: readonly SpeedProbe[] = [
  product(2), product(8), product(64), product(256),
  ...RESIDENT.map(reading),
  attention(32), attention(128),
  fusedAttention(32), fusedAttention(128),
  convolution(64, 28, 1), convolution(16, 32, 3), convolution(64, 28, 3),
  depthwise,
  packed(1), packed(16), packed(128),
  integer,
  elementwise(4096), elementwise(2 ** 18), elementwise(2 ** 21),
  transcendental(4096), transcendental(2 ** 18),
];

/** In an order that all threads know. */
export const allProbes: readonly SpeedProbe[] = [callProbe, nodeProbe, ...speedProbes];

function empty(): { readonly model: Model; readonly b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', 17);
  model.irVersion = 9;
  return { model, b: new GraphBuilder(model.graph) };
}

/** Two steps that compute next to nothing and hand on a number: what it costs to call engines one after the other. */
export function stepsProbe(): Model {
  const { model, b } = empty();
  const h = b.op('Neg', [b.input('x', tensorType('float32', [1]))], {}, { outputs: ['h'] });
  b.output(b.op('Abs', [h]), 'y', tensorType('float32', [1]));
  return model;
}

/** Takes a tensor of any length and gives a number: what it costs to bring bytes to another thread. */
export function takingProbe(): Model {
  const { model, b } = empty();
  const x = b.input('x', tensorType('float32', ['n']));
  b.output(b.op('Slice', [x, b.constant('int64', [0]), b.constant('int64', [1])]), 'y', tensorType('float32', [1]));
  return model;
}

/** Makes a tensor of a number, of any length: `all` gives it out, `one` keeps it: what it costs to bring bytes from an engine. */
export function givingProbe(): Model {
  const { model, b } = empty();
  const made = b.op('Expand', [b.input('x', tensorType('float32', [1])), b.input('length', tensorType('int64', [1]))]);
  b.output(b.op('Neg', [made]), 'all', tensorType('float32', ['n']));
  b.output(b.op('Slice', [made, b.constant('int64', [0]), b.constant('int64', [1])]), 'one', tensorType('float32', [1]));
  return model;
}

/** Pairs of products that shards cut by columns and by rows, of the size that the largest of `parts` has, for any number of rows: 512 columns on three are 171, 171 and 170. */
export function pairsProbe(pairs: number, parts: number): Model {
  const columns = Math.ceil(WIDTH / parts);
  const { model, b } = empty();
  const type = tensorType('float32', ['rows', WIDTH]);
  let x = b.input('x', type);
  for (let i = 0; i < pairs; i++) {
    const inner = b.op('Relu', [b.op('MatMul', [x, weight(b, `a${i}`, WIDTH, columns)])]);
    x = b.op('MatMul', [inner, weight(b, `b${i}`, columns, WIDTH)]);
  }
  b.output(x, 'y', type);
  return model;
}

export const numbers = (elements: number, shape: readonly number[] = [elements]): DenseTensor => DenseTensor.of('float32', shape, new Float32Array(elements).fill(1));
/** Feeds of `pairsProbe`, and bytes of what a pair gives. */
export const rowsOf = (rows: number): { readonly feeds: Feeds; readonly bytes: number } => ({ feeds: { x: numbers(rows * WIDTH, [rows, WIDTH]) }, bytes: 4 * rows * WIDTH });

export const oneNumber = denseOf('float32', [1], [0.5]);
