/** Dropout as masks that the trainer feeds: the graph stays a function of its inputs, and a run that goes on draws the same. */
import { DenseTensor, elementCount, type Feeds, GraphBuilder, inferShapes, type Model, type Node, PenjingError, type Shape, tensorType, type Value } from '@penjing/core';
import { weightMatrices } from '@penjing/core/calibrate';
import { updateKernels } from '../optimizers/kernels.js';
import { residualBranches } from './residual-branches.js';

/** An input of the graph that masks are fed to, as plain data. */
export interface DropoutMask {
  readonly input: string;
  /** (samples, …) of a graph of one engine. */
  readonly shape: Shape;
}

/**
 * Multiplies what each branch adds to a residual stream, and what the first stream begins with (the embeddings), by a mask: Srivastava et al. 2014 where Vaswani et al. 2017, section 5.4, has it. Edits the model in place, before it is
 * differentiated. Throws `E_UNSUPPORTED` for a model without residual branches, or whose sizes are not known.
 */
export function addDropout(model: Model): DropoutMask[] {
  inferShapes(model);
  const { matrices } = weightMatrices(model, ['matmul', 'gemm', 'conv', 'gather']);
  const branches = residualBranches(model, new Set(matrices.flatMap(({ sites }) => sites.map(({ node }) => node))));
  const [first] = branches;
  if (!first) throw new PenjingError('E_UNSUPPORTED', 'the model adds to no residual stream: there is nowhere to drop from', { hint: 'Leave out the dropout.' });
  const b = new GraphBuilder(model.graph);
  const masks: DropoutMask[] = [];
  const masked = (value: Value, before: Node): Value => {
    const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    if (!shape?.every((dim): dim is number => typeof dim === 'number')) throw new PenjingError('E_UNSUPPORTED', `the size of ${value.name} is not known before the run: it cannot be masked`, { hint: 'Leave out the dropout.' });
    const input = b.input(`dropout/${masks.length}`, tensorType('float32', shape));
    masks.push({ input: input.name, shape });
    return b.before(before, () => b.op('Mul', [value, input]));
  };
  for (const { node, index } of branches) node.setInput(index, masked(node.input(index)!, node));
  // the stream of the first branch is not one that was masked above
  const readers = new Set(first.stream.uses().map(({ node }) => node));
  const uses = first.stream.uses();
  const earliest = [...model.graph.nodes()].find((node) => readers.has(node));
  if (earliest) {
    const begin = masked(first.stream, earliest);
    for (const { node, index } of uses) node.setInput(index, begin);
  }
  return masks;
}

/** Masks of the n-th batch, for `engines` graphs of these shapes together. They follow from the seed, the batch and the place of the mask alone. */
export function dropoutFeeds(masks: readonly DropoutMask[], { rate, seed, engines }: { readonly rate: number; readonly seed: number; readonly engines: number }): (n: number) => Feeds {
  return (n) => Object.fromEntries(masks.map(({ input, shape: [samples = 1, ...inner] }, place) => {
    const shape = [samples * engines, ...inner];
    const mask = new Float32Array(elementCount(shape));
    updateKernels().dropMask(mask, keyOf([seed, n, place]), rate);
    return [input, DenseTensor.of('float32', shape, mask)];
  }));
}

/** 32 bits of some numbers: FNV-1a over their bytes. */
function keyOf(numbers: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const byte of new Uint8Array(Uint32Array.from(numbers).buffer)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
