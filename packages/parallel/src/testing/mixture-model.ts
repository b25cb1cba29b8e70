/** Seeded mixtures of experts one after the other, in the form that converted models have; for tests. */
import { createRng, denseOf, type DenseTensor, GraphBuilder, Model, tensorType, type Value } from '@penjing/core';

export interface MixtureModelOptions {
  readonly experts: number;
  /** Experts of a token. */
  readonly perToken?: number;
  readonly layers?: number;
  readonly width?: number;
  /** Of the hidden layer of an expert. */
  readonly hidden?: number;
}

/** x: (tokens, width); every layer adds what the experts of each token make of it. */
export function mixtureModel({ experts, perToken = 2, layers = 1, width = 8, hidden = 4 }: MixtureModelOptions): Model {
  const rng = createRng(7);
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const weight = (name: string, ...shape: number[]): Value => b.initializer(name, random(...shape));
  const random = (...shape: number[]): DenseTensor => denseOf('float32', shape, Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => rng.normal() / 2));
  let x: Value = b.input('x', tensorType('float32', ['tokens', width]));
  for (let layer = 0; layer < layers; layer++) {
    const chances = b.op('Softmax', [b.op('MatMul', [x, weight(`router${layer}`, width, experts)])], { axis: -1 });
    const [best, chosen] = b.nodes('TopK', [chances, b.constant('int64', [perToken])], { axis: -1 }, { outputCount: 2 });
    const shares = b.op('Transpose', [b.op('ScatterElements', [b.op('Mul', [chances, b.constant('float32', 0)]), chosen!, best!], { axis: -1 })], { perm: [1, 0] });
    let sum = b.op('Mul', [x, b.constant('float32', 0)]);
    for (let i = 0; i < experts; i++) {
      const share = b.op('Gather', [shares, b.constant('int64', i)]);
      const rows = b.op('Transpose', [b.op('NonZero', [share])], { perm: [1, 0] });
      const inner = b.op('Relu', [b.op('MatMul', [b.op('GatherND', [x, rows]), weight(`in${layer}.${i}`, width, hidden)])]);
      const out = b.op('MatMul', [inner, weight(`out${layer}.${i}`, hidden, width)]);
      sum = b.op('ScatterND', [sum, rows, b.op('Mul', [out, b.op('Unsqueeze', [b.op('GatherND', [share, rows]), b.constant('int64', [1])])])], { reduction: 'add' });
    }
    x = b.op('Add', [x, sum]);
  }
  b.output(x, 'y', tensorType('float32', ['tokens', width]));
  return model;
}
