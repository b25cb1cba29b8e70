/** The Engine port over the interpreter. */
import type { Engine, Executor, Feeds, Fetches, RunOptions, ValueInfo } from '../engine.js';
import { PenjingError } from '../errors.js';
import type { Model } from '../graph/model.js';
import { type ValueType, formatType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import type { DenseTensor, StringTensor } from '../tensor.js';
import { fromTensor, type Item, toTensor } from './array.js';
import { Interpreter, loadConstants } from './interpreter.js';

/** A value as ONNX has them: a tensor, a sequence, or null for an empty optional. */
export type ReferenceItem = DenseTensor | StringTensor | readonly ReferenceItem[] | null;

/** Executes models node by node in double precision, rounding each result to its type. */
export function referenceEngine(): Engine {
  return {
    name: 'reference',
    async load(model, options = {}): Promise<Executor> {
      let interpreter: Interpreter | undefined = new Interpreter(model, await loadConstants(model, options.signal));
      return {
        inputs: model.graph.inputs.filter((value) => !value.tensor).map(infoOf),
        outputs: model.graph.outputs.map(infoOf),
        async run(feeds, runOptions = {}) {
          if (!interpreter) throw new PenjingError('E_DISPOSED', 'the model was disposed of', { hint: 'Load it again.' });
          return runOnce(model, interpreter, feeds, runOptions);
        },
        async [Symbol.asyncDispose]() {
          interpreter = undefined;
        },
      };
    },
  };
}

/** Runs a model once with any kind of value, sequences and optionals too; outputs in order. */
export async function runReference(model: Model, feeds: Readonly<Record<string, ReferenceItem>>): Promise<ReferenceItem[]> {
  const interpreter = new Interpreter(model, await loadConstants(model));
  const outputs = interpreter.run(new Map(Object.entries(feeds).map(([name, value]) => [name, itemOf(value)])));
  return outputs.map(valueOf);
}

function itemOf(value: ReferenceItem): Item {
  if (value === null) return { kind: 'empty' };
  return Array.isArray(value) ? { kind: 'sequence', items: (value as readonly ReferenceItem[]).map(itemOf) } : fromTensor(value as DenseTensor);
}

function valueOf(item: Item): ReferenceItem {
  if (item.kind === 'empty') return null;
  return item.kind === 'sequence' ? item.items.map(valueOf) : toTensor(item);
}

function infoOf(value: Value): ValueInfo {
  return { name: value.name, type: value.type ?? { kind: 'tensor' } };
}

function runOnce(model: Model, interpreter: Interpreter, feeds: Feeds, options: RunOptions): Fetches {
  checkFeeds(model, feeds);
  const outputs = interpreter.run(new Map(Object.entries(feeds).map(([name, tensor]) => [name, fromTensor(tensor)])), options.signal);
  const wanted = options.outputs ?? model.graph.outputs.map((value) => value.name);
  return Object.fromEntries(wanted.map((name) => {
    const item = outputs[model.graph.outputs.findIndex((value) => value.name === name)];
    if (!item) throw new PenjingError('E_INPUT', `the model has no output ${name}`);
    if (item.kind !== 'array') throw new PenjingError('E_UNSUPPORTED', `output ${name} is a ${item.kind}, not a tensor`);
    return [name, toTensor(item)];
  }));
}

function checkFeeds(model: Model, feeds: Feeds): void {
  const { inputs } = model.graph;
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((value) => value.name === name)) {
      throw new PenjingError('E_INPUT', `the model has no input ${name}`, { hint: `Its inputs are ${inputs.map((value) => value.name).join(', ')}.` });
    }
  }
  for (const value of inputs) {
    const fed = feeds[value.name];
    if (!fed && !value.tensor) throw new PenjingError('E_INPUT', `input ${value.name} is missing`);
    if (fed && !fits(fed, value.type)) {
      throw new PenjingError('E_INPUT', `input ${value.name} is ${fed.dtype}[${fed.shape.join(',')}], the model wants ${formatType(value.type)}`);
    }
  }
}

function fits(tensor: DenseTensor | StringTensor, type: ValueType | undefined): boolean {
  if (type?.kind !== 'tensor') return true;
  if (type.dtype !== undefined && type.dtype !== tensor.dtype) return false;
  if (!type.shape) return true;
  return type.shape.length === tensor.shape.length && type.shape.every((dim, i) => typeof dim !== 'number' || dim < 0 || dim === tensor.shape[i]);
}
