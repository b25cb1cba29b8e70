/** Matrix products by an engine: ONNX Runtime multiplies a hundred times faster than JavaScript. */
import { GraphBuilder } from '../builder.js';
import { bytesOf } from '../dtype.js';
import type { Engine, Executor, Feeds } from '../engine.js';
import { Model } from '../graph/model.js';
import { tensorType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import { DenseTensor } from '../tensor.js';

/** Row-major float32. */
export interface Matrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** A matrix, or some of its columns, or the transpose of those. */
export interface Operand extends Matrix {
  /** First column, and the one after the last. */
  readonly window?: readonly [from: number, to: number];
  readonly transposed?: boolean;
}

export interface Products extends AsyncDisposable {
  /** The product of two operands, row-major, in a fresh array. The operands are not copied when the engine runs in this thread. */
  multiply(a: Operand, b: Operand): Promise<Float32Array>;
}

/** Loads one small graph per form of operands, when it is first needed. */
export function matrixProducts(engine: Engine): Products {
  const executors = new Map<string, Promise<Executor>>();
  const load = (a: Operand, b: Operand): Promise<Executor> => {
    const key = `${form(a)} ${form(b)}`;
    let executor = executors.get(key);
    if (!executor) executors.set(key, (executor = engine.load(productModel(a, b))));
    return executor;
  };
  return {
    async multiply(a, b) {
      const executor = await load(a, b);
      const { c } = await executor.run({ ...feeds('a', a), ...feeds('b', b) });
      return (c as DenseTensor).data as Float32Array;
    },
    async [Symbol.asyncDispose]() {
      for (const executor of executors.values()) await (await executor)[Symbol.asyncDispose]();
    },
  };
}

function form({ window, transposed }: Operand): string {
  return `${window ? 'window' : 'whole'}${transposed ? ' transposed' : ''}`;
}

function feeds(name: string, { data, rows, cols, window }: Operand): Feeds {
  const matrix = new DenseTensor('float32', [rows, cols], bytesOf(data.subarray(0, rows * cols)));
  if (!window) return { [name]: matrix };
  const index = (at: number): DenseTensor => DenseTensor.of('int64', [1], BigInt64Array.of(BigInt(at)));
  return { [name]: matrix, [`${name}.from`]: index(window[0]), [`${name}.to`]: index(window[1]) };
}

function productModel(a: Operand, b: Operand): Model {
  const model = new Model();
  model.irVersion = 8;
  model.opsetImports.set('', 17);
  const builder = new GraphBuilder(model.graph);
  const operand = (name: string, { window, transposed }: Operand): Value => {
    let value = builder.input(name, tensorType('float32', [`${name}.rows`, `${name}.cols`]));
    if (window) {
      const index = (end: string): Value => builder.input(`${name}.${end}`, tensorType('int64', [1]));
      value = builder.op('Slice', [value, index('from'), index('to'), builder.constant('int64', [1])]);
    }
    return transposed ? builder.op('Transpose', [value], { perm: [1, 0] }) : value;
  };
  builder.output(builder.op('MatMul', [operand('a', a), operand('b', b)]), 'c', tensorType('float32', ['rows', 'cols']));
  return model;
}
