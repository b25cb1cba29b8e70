/** The way back: weights of graphs, trained or edited, as the checkpoint of the Hugging Face folder that such graphs are built from. */
import { type Checkpoint, exprInputs, lazy, type LazyTensor, PenjingError, sameShape, type Shape, type SourceExpr, storedTensors, type Tensor, type TensorExpr } from '@penjing/core';
import { convertHuggingFaceGraphs } from './convert.js';
import type { HuggingFaceFolder } from './open.js';

/** A tensor of the checkpoint, or a range of it along one axis, in the shape that the graphs read it in. */
interface Part {
  readonly shape: Shape;
  readonly starts: readonly number[];
  readonly tensor: Tensor;
  /** The weight of a graph that it comes from. */
  readonly from: string;
}

/**
 * Every tensor of `reference` in its own name, layout and dtype, with the values that `weights` (initializers by name) have. The graphs are
 * built from `reference` once more, which reads no weights: what a weight was made of says how to undo it.
 * Throws `E_WEIGHTS` naming weights that are missing, of another shape, or made of a tensor in a way that cannot be undone.
 */
export async function checkpointLike(reference: HuggingFaceFolder, weights: Checkpoint): Promise<Checkpoint> {
  const places = new Map<string, string>();
  for (const [name, tensor] of reference.checkpoint.tensors) {
    if (tensor.kind === 'lazy' && (tensor as LazyTensor).expr.op === 'source') places.set(placeOf((tensor as LazyTensor).expr), name);
  }
  const found = new Map<string, Part[]>();
  const missing: string[] = [];
  for (const [name, made] of await builtWeights(reference)) {
    const { expr } = made;
    if (!sourcesOf(expr).some((source) => places.has(placeOf(source)))) continue;
    const tensor = weights.tensors.get(name);
    if (!tensor || !sameShape(tensor.shape, made.shape)) {
      missing.push(tensor ? `${name} is [${tensor.shape.join(', ')}], not [${made.shape.join(', ')}]` : `${name} is not there`);
      continue;
    }
    undo(expr, expr.shape.map(() => 0), tensor, name, (leaf, starts, part) => {
      const target = places.get(placeOf(leaf));
      if (target !== undefined) found.set(target, [...(found.get(target) ?? []), { shape: leaf.shape, starts, tensor: part, from: name }]);
    });
  }
  if (missing.length > 0) {
    throw new PenjingError('E_WEIGHTS', `the model is not one of ${reference.folder.name}: ${missing.slice(0, 5).join('; ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''}`, {
      hint: 'Give the folder that the model was made from, and the model before it was quantized or its size was changed.',
      details: { missing },
    });
  }
  const tensors = new Map<string, Tensor>();
  for (const [name, original] of reference.checkpoint.tensors) {
    const parts = found.get(name);
    // what no graph uses (buffers, heads of other tasks) stays as it is
    tensors.set(name, parts ? lazy.cast(joined(name, original, parts), original.dtype) : original);
  }
  return { tensors, metadata: reference.checkpoint.metadata };
}

/** The weights of the graphs by name; graphs of one folder that share a weight have it under one name. */
async function builtWeights(reference: HuggingFaceFolder): Promise<ReadonlyMap<string, LazyTensor>> {
  const built = new Map<string, LazyTensor>();
  for (const model of (await convertHuggingFaceGraphs(reference)).values()) {
    for (const { name, tensor } of storedTensors(model)) if (tensor.kind === 'lazy') built.set(name, tensor as LazyTensor);
  }
  return built;
}

type Give = (leaf: SourceExpr, starts: readonly number[], value: Tensor) => void;

/** Finds what leaves must be for the range of `expr` from `starts` on to come to `value`. */
function undo(expr: TensorExpr, starts: readonly number[], value: Tensor, name: string, give: Give): void {
  switch (expr.op) {
    case 'source':
      return give(expr, starts, value);
    case 'constant':
    case 'fill':
      return;
    // undone by the last cast of all, to the dtype of the checkpoint
    case 'cast':
      return undo(expr.input, starts, value, name, give);
    case 'slice':
      return undo(expr.input, starts.map((start, i) => start + expr.starts[i]!), value, name, give);
    case 'transpose': {
      const back = expr.perm.map((_, axis) => expr.perm.indexOf(axis));
      return undo(expr.input, back.map((axis) => starts[axis]!), lazy.transpose(value, back), name, give);
    }
    case 'reshape': {
      let inner = expr.input;
      while (inner.op === 'cast') inner = inner.input;
      if (inner.op === 'source') return give({ ...inner, shape: expr.shape }, starts, value);
      if (!sameShape(value.shape, expr.shape)) throw cannot(name, 'a part of what another shape was given to');
      return undo(expr.input, expr.input.shape.map(() => 0), lazy.reshape(value, expr.input.shape), name, give);
    }
    // norms that multiply by 1 + weight
    case 'add':
      if (expr.b.op !== 'fill') throw cannot(name, 'a sum');
      return undo(expr.a, starts, lazy.add(lazy.cast(value, 'float32'), lazy.fill('float32', [1], -expr.b.value)), name, give);
    case 'concat': {
      let at = 0;
      for (const input of expr.inputs) {
        const [from, size] = [at - starts[expr.axis]!, input.shape[expr.axis]!];
        at += size;
        const [begin, end] = [Math.max(0, from), Math.min(value.shape[expr.axis]!, from + size)];
        if (begin >= end) continue;
        const part = lazy.slice(value, starts.map((_, axis) => (axis === expr.axis ? begin : 0)), value.shape.map((length, axis) => (axis === expr.axis ? end - begin : length)));
        undo(input, starts.map((start, axis) => (axis === expr.axis ? begin - from : start)), part, name, give);
      }
      return;
    }
    default:
      throw cannot(name, expr.op);
  }
}

function joined(name: string, { shape }: Tensor, parts: readonly Part[]): Tensor {
  const [first] = parts as [Part];
  const axis = first.shape.findIndex((size, i) => first.tensor.shape[i] !== size);
  if (axis === -1 && parts.length === 1) return lazy.reshape(first.tensor, shape);
  const ordered = [...parts].sort((a, b) => a.starts[axis]! - b.starts[axis]!);
  let end = 0;
  for (const { starts, tensor, from } of ordered) {
    if (starts[axis] !== end) throw cannot(from, `${name}, which other weights are made of too or which is used in part`);
    end += tensor.shape[axis]!;
  }
  if (end !== first.shape[axis]) throw cannot(first.from, `${name}, which is used in part`);
  return lazy.reshape(lazy.concat(ordered.map(({ tensor }) => tensor), axis), shape);
}

function cannot(name: string, how: string): PenjingError {
  return new PenjingError('E_WEIGHTS', `${name} cannot be written back: it is made by or of ${how}`, { hint: 'Write ONNX, or safetensors under the names of the graph.' });
}

/** Where a tensor begins: no two of a checkpoint begin at the same byte of the same file, save empty ones. */
function placeOf(expr: TensorExpr): string {
  return expr.op === 'source' ? `${expr.source}\n${expr.offset}` : '';
}

function sourcesOf(expr: TensorExpr): readonly SourceExpr[] {
  return expr.op === 'source' ? [expr] : exprInputs(expr).flatMap((input) => (input.op === 'source' ? [input] : sourcesOf(input as TensorExpr)));
}
