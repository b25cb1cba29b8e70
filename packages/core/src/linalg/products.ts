/** Matrix products by an engine: ONNX Runtime multiplies a hundred times faster than JavaScript. */
import { GraphBuilder } from '../builder.js';
import { bytesOf } from '../dtype.js';
import type { Engine, Executor, Feeds } from '../engine.js';
import { Model } from '../graph/model.js';
import { attribute } from '../graph/attribute.js';
import { tensorType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import { DenseTensor } from '../tensor.js';

/** Row-major float32. */
export interface Matrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** Some columns of a matrix, or its transpose, or the transpose of those columns. */
interface View {
  readonly rows: number;
  readonly cols: number;
  /** First column, and the one after the last. */
  readonly window?: readonly [from: number, to: number];
  readonly transposed?: boolean;
}

/** A matrix, or some of its columns, or the transpose of those. */
export interface Operand extends View {
  readonly data: Float32Array;
}

/** An operand of a product in float64. */
export interface WideOperand extends View {
  readonly data: Float32Array | Float64Array;
}

export interface Products extends AsyncDisposable {
  /** The product of two operands, row-major, in a fresh array. The operands are not copied when the engine runs in this thread. */
  multiply(a: Operand, b: Operand): Promise<Float32Array>;
  /** The same in float64, about half as fast: for Gram matrices, whose condition is squared. */
  multiplyWide(a: WideOperand, b: WideOperand): Promise<Float64Array>;
}

const DOUBLE = 11;

/** Loads one small graph per form of operands, when it is first needed. */
export function matrixProducts(engine: Engine): Products {
  const executors = new Map<string, Promise<Executor>>();
  const run = async (a: WideOperand, b: WideOperand, wide: boolean): Promise<DenseTensor['data']> => {
    const key = `${wide ? 'wide ' : ''}${form(a)} ${form(b)}`;
    let executor = executors.get(key);
    if (!executor) executors.set(key, (executor = engine.load(productModel(a, b, wide))));
    const { c } = await (await executor).run({ ...feeds('a', a), ...feeds('b', b) });
    return (c as DenseTensor).data;
  };
  return {
    multiply: async (a, b) => (await run(a, b, false)) as Float32Array,
    multiplyWide: async (a, b) => (await run(a, b, true)) as Float64Array,
    async [Symbol.asyncDispose]() {
      for (const executor of executors.values()) await (await executor)[Symbol.asyncDispose]();
    },
  };
}

function dtypeOf({ data }: WideOperand): 'float32' | 'float64' {
  return data instanceof Float32Array ? 'float32' : 'float64';
}

function form(operand: WideOperand): string {
  return `${dtypeOf(operand)} ${operand.window ? 'window' : 'whole'}${operand.transposed ? ' transposed' : ''}`;
}

function feeds(name: string, operand: WideOperand): Feeds {
  const { data, rows, cols, window } = operand;
  const matrix = new DenseTensor(dtypeOf(operand), [rows, cols], bytesOf(data.subarray(0, rows * cols)));
  if (!window) return { [name]: matrix };
  const index = (at: number): DenseTensor => DenseTensor.of('int64', [1], BigInt64Array.of(BigInt(at)));
  return { [name]: matrix, [`${name}.from`]: index(window[0]), [`${name}.to`]: index(window[1]) };
}

function productModel(a: WideOperand, b: WideOperand, wide: boolean): Model {
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const builder = new GraphBuilder(model.graph);
  const operand = (name: string, from: WideOperand): Value => {
    const dtype = dtypeOf(from);
    let value = builder.input(name, tensorType(dtype, [`${name}.rows`, `${name}.cols`]));
    if (from.window) {
      const index = (end: string): Value => builder.input(`${name}.${end}`, tensorType('int64', [1]));
      value = builder.op('Slice', [value, index('from'), index('to'), builder.constant('int64', [1])]);
    }
    if (wide && dtype === 'float32') value = builder.op('Cast', [value], { to: attribute.int(DOUBLE) });
    return from.transposed ? builder.op('Transpose', [value], { perm: [1, 0] }) : value;
  };
  builder.output(builder.op('MatMul', [operand('a', a), operand('b', b)]), 'c', tensorType(wide ? 'float64' : 'float32', ['rows', 'cols']));
  return model;
}
