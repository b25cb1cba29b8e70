/** The gradients of Taylor importance: a model that says how its loss changes as inputs of layers are switched off. */
import type { GateModel } from '@penjing/compress';
import { cloneModel, type Dim, dtypes, GraphBuilder, type Model, PenjingError, type Value } from '@penjing/core';
import { removeDead } from '@penjing/core/rewrite';
import { addLoss, differentiate, gradientName, type Loss, makeTrainable } from '@penjing/distill';

/** Inputs that hold the tokens which a decoder is to predict. */
const TOKENS: ReadonlySet<string> = new Set(['input_ids', 'tokens', 'decoder_input_ids']);

/**
 * The loss is the cross-entropy of the next token for a model that scores tokens of its input; of others, without labels, how far their scores move.
 * Throws `E_UNSUPPORTED` for a model without scores of classes, and naming every operator without a gradient; what `makeTrainable` throws.
 */
export const gateModel: GateModel = async (original, gates) => {
  const { model } = await makeTrainable(cloneModel(original));
  addLoss(model, lossOf(model));
  const weights = [...new Set(gates.map(({ weight }) => weight))];
  differentiate(model, { loss: 'loss', of: weights });
  const { graph } = model;
  const gradients = new Map(graph.outputs.map((value) => [value.name, value]));
  graph.outputs.splice(0);
  const b = new GraphBuilder(graph);
  const outputs = gates.map(({ weight, axis }, i) => {
    const value = graph.initializers.get(weight);
    if (!value?.tensor) throw new PenjingError('E_UNSUPPORTED', `${weight} is no weight of the main graph: it has no gradient`, { hint: 'Choose another --method, or leave the weight out with --exclude.' });
    const others = value.tensor.shape.flatMap((_, other) => (other === axis ? [] : [other]));
    const slopes = b.op('Mul', [value, gradients.get(gradientName(weight))!]);
    b.output(b.op('ReduceSum', [slopes, b.constant('int64', others)], { keepdims: 0 }), `gate/${i}`);
    return `gate/${i}`;
  });
  removeDead(model);
  return { model, outputs };
};

function lossOf({ graph }: Model): Loss {
  const scores = graph.outputs.find(({ type }) => type?.kind === 'tensor' && type.dtype !== undefined && dtypes[type.dtype].kind === 'float');
  const shape = scores?.type?.kind === 'tensor' ? scores.type.shape : undefined;
  const classes = shape?.at(-1);
  if (!scores || !shape || shape.length < 2 || shape.length > 3 || typeof classes !== 'number' || classes < 2) {
    throw new PenjingError('E_UNSUPPORTED', `taylor needs scores of classes as the first output of the model, (n, classes) or (n, tokens, classes)${scores ? `; ${scores.name} is (${shape?.map(nameOf).join(', ') ?? 'of an unknown shape'})` : ''}`, {
      hint: 'Choose --method norm, activation or obs.',
    });
  }
  const tokens = shape.length === 3 ? graph.inputs.find(({ name }) => TOKENS.has(name)) : undefined;
  return ({ b, value }) => {
    const given = value(scores.name);
    // what it takes the exponential of
    const logits = given.producer?.opType === 'Softmax' && given.producer.domain === '' ? given.producer.input(0)! : given;
    return tokens ? nextToken(b, logits, tokens, classes) : randomDirection(b, logits);
  };
}

function nextToken(b: GraphBuilder, logits: Value, tokens: Value, classes: number): Value {
  const part = (of: Value, from: number, to: number): Value => b.op('Slice', [of, b.constant('int64', [from]), b.constant('int64', [to]), b.constant('int64', [1])]);
  const labels = b.op('Cast', [part(tokens, 1, Number.MAX_SAFE_INTEGER)], { to: 7 });
  return crossEntropy(b, part(logits, 0, -1), labels, classes);
}

/** Far above 1, so that neighbouring scores have signs that look independent. */
const FREQUENCY = 12_345.678;

/**
 * The scores along a direction of random signs, another one for each sample: the mean of the squared slopes is that of how far the scores move, to first order (Hutchinson 1990).
 * The loss of the class ranked highest says less: where a model is certain it has no slope (measured: `bench/RESULTS.md`, structured pruning).
 */
function randomDirection(b: GraphBuilder, logits: Value): Value {
  const signs = b.op('Sign', [b.op('Sin', [b.op('Mul', [logits, b.constant('float32', FREQUENCY)])])]);
  return b.op('ReduceSum', [b.op('Mul', [logits, signs])], { keepdims: 0 });
}

function crossEntropy(b: GraphBuilder, logits: Value, labels: Value, classes: number): Value {
  return b.op('SoftmaxCrossEntropyLoss', [b.op('Reshape', [logits, b.constant('int64', [-1, classes])]), b.op('Reshape', [labels, b.constant('int64', [-1])])]);
}

function nameOf(dim: Dim): string {
  return typeof dim === 'number' ? `${dim}` : dim === null ? '?' : `${dim}`;
}
