/** What is minimized, as nodes at the end of a graph. */
import { type Dim, type DType, GraphBuilder, inferShapes, type Model, PenjingError, tensorType, type Value } from '@penjing/core';

/** What a loss sees of the graph it is added to. */
export interface LossContext {
  readonly b: GraphBuilder;
  /** An output or another value of the model. Throws `E_INPUT` for a name that the graph does not have. */
  readonly value: (name: string) => Value;
  /** An input that the loss brings along: labels, masks, what a teacher said. One that is there already is shared. */
  readonly input: (name: string, dtype: DType, shape: readonly Dim[]) => Value;
}

/** Adds nodes and gives a scalar. */
export type Loss = (context: LossContext) => Value;

/** The dimensions of a value. Throws `E_SHAPE` when they are not known. */
export function shapeOf(value: Value): readonly Dim[] {
  const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
  if (!shape) throw new PenjingError('E_SHAPE', `the shape of ${value.name} is not known`, { hint: 'Give the inputs of the model shapes.' });
  return shape;
}

/** float32 where the dtype of a value is not known. */
export const dtypeOf = (value: Value): DType => (value.type?.kind === 'tensor' ? (value.type.dtype ?? 'float32') : 'float32');

/**
 * Adds a loss to a model, in place: its scalar becomes the output `loss`. The outputs of the model are left out unless `keep` names them: a training step returns nothing that it
 * need not.
 */
export function addLoss(model: Model, loss: Loss, { keep = [] }: { readonly keep?: readonly string[] } = {}): void {
  const { graph } = model;
  inferShapes(model);
  const values = new Map([...graph.inputs, ...graph.initializers.values(), ...[...graph.nodes()].flatMap((node) => [...node.outputs])].map((value) => [value.name, value]));
  const b = new GraphBuilder(graph);
  const added = new Map<string, Value>();
  const scalar = b.scope('loss', () =>
    loss({
      b,
      value(name) {
        const value = values.get(name);
        if (!value) throw new PenjingError('E_INPUT', `the graph has no value ${name}`, { hint: `Its outputs are ${graph.outputs.map((output) => output.name).join(', ')}.` });
        return value;
      },
      input(name, dtype, shape) {
        const known = added.get(name) ?? graph.inputs.find((value) => value.name === name);
        if (known) return known;
        const value = b.input(name, tensorType(dtype, shape));
        added.set(name, value);
        return value;
      },
    }),
  );
  // What was added has no types yet, and a loss of doubles that is called float32 would round its gradients.
  inferShapes(model);
  const kept = graph.outputs.filter(({ name }) => keep.includes(name));
  graph.outputs.splice(0, graph.outputs.length, ...kept);
  // Identity: a loss may be a value that has a name already.
  b.output(b.op('Identity', [scalar]), 'loss', tensorType(dtypeOf(scalar), []));
}

/** Σ wᵢ lossᵢ. */
export function weightedSum(terms: readonly (readonly [weight: number, loss: Loss])[]): Loss {
  return (context) => {
    const { b } = context;
    const parts = terms.map(([weight, loss]) => {
      const value = loss(context);
      return weight === 1 ? value : b.op('Mul', [value, b.op('CastLike', [b.constant('float32', weight), value])]);
    });
    if (parts.length === 0) throw new PenjingError('E_OPTION', 'a sum of no losses', { hint: 'Give at least one.' });
    return parts.reduce((sum, part) => b.op('Add', [sum, part]));
  };
}

/** The mean over elements whose mask is not 0. */
export function maskedMean({ b, input }: LossContext, values: Value, shape: readonly Dim[], mask: string | undefined): Value {
  if (mask === undefined) return b.op('ReduceMean', [values], { keepdims: 0 });
  const counts = b.op('CastLike', [input(mask, 'int64', shape), values]);
  const total = b.op('Max', [b.op('ReduceSum', [counts], { keepdims: 0 }), b.op('CastLike', [b.constant('float32', 1), values])]);
  return b.op('Div', [b.op('ReduceSum', [b.op('Mul', [values, counts])], { keepdims: 0 }), total]);
}
