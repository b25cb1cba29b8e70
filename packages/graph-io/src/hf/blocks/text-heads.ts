/** The heads of text encoders: from the last hidden states to the outputs of a task, named as Optimum names them. */
import { PenjingError, tensorType, type Value } from '@penjing/core';
import type { Renaming, Task } from '../architecture.js';
import type { Network } from '../network.js';
import { type ActivationName, activations } from './activation.js';
import { languageHead } from './embedding.js';
import type { Table } from './matrix.js';
import { linear } from './linear.js';
import { layerNorm, type LayerNormShape } from './norm.js';

/** What an architecture decides; x is (batch, seq, hidden). Absent: not a task of this architecture. */
export interface TextHeads {
  readonly hidden: number;
  /** Number of classes. */
  readonly labels: number;
  readonly vocabulary: number;
  /** (batch, seq, vocabulary). */
  readonly fillMask?: (x: Value) => Value;
  /** (batch, labels). */
  readonly classify: (x: Value) => Value;
  /** How well a text answers a question, (batch, 1); `classify` when absent. */
  readonly choose?: (x: Value) => Value;
  /** What a head over single tokens sees of x, (batch, seq, hidden); x itself when absent. */
  readonly tokens?: (x: Value) => Value;
  /** Module of the head over single tokens; `classifier` when absent. */
  readonly tokenHead?: string;
  /** Module of the head that finds answers; `qa_outputs` when absent. */
  readonly answers?: string;
}

/** Puts the head of `task` on x and makes its results the outputs of the graph, in float32. */
export function textOutputs(net: Network, task: Task, x: Value, heads: TextHeads): void {
  if (!isTextTask(task)) throw new PenjingError('E_TASK', `an encoder of text has no head for ${task}`);
  outputs[task](net, x, heads);
}

const FLOAT = 1;

type TextTask = 'feature-extraction' | 'fill-mask' | 'text-classification' | 'token-classification' | 'question-answering' | 'multiple-choice';

const outputs: Readonly<Record<TextTask, (net: Network, x: Value, heads: TextHeads) => void>> = {
  'feature-extraction': (net, x, { hidden }) => give(net, x, 'last_hidden_state', [...TOKENS, hidden]),

  'fill-mask': (net, x, { fillMask, vocabulary }) => {
    if (!fillMask) throw new PenjingError('E_TASK', 'this architecture has no head for fill-mask');
    give(net, fillMask(x), 'logits', [...TOKENS, vocabulary]);
  },

  'text-classification': (net, x, { classify, labels }) => give(net, classify(x), 'logits', ['batch_size', labels]),

  'multiple-choice': (net, x, { classify, choose = classify }) => {
    const [choices] = net.builder.graph.inputs;
    give(net, net.op('Reshape', [choose(x), net.op('Shape', [choices], { start: 0, end: 2 })]), 'logits', ['batch_size', 'num_choices']);
  },

  'token-classification': (net, x, { tokens = same, hidden, labels, tokenHead = 'classifier' }) => {
    const logits = linear(net, tokenHead, tokens(x), { inputs: hidden, outputs: labels, bias: true });
    give(net, logits, 'logits', [...TOKENS, labels]);
  },

  'question-answering': (net, x, { tokens = same, hidden, answers = 'qa_outputs' }) => {
    const both = linear(net, answers, tokens(x), { inputs: hidden, outputs: 2, bias: true });
    const [start, end] = net.builder.nodes('Split', [both], { axis: -1, num_outputs: 2 }, { outputCount: 2 });
    give(net, net.op('Squeeze', [start, net.ints([-1])]), 'start_logits', TOKENS);
    give(net, net.op('Squeeze', [end, net.ints([-1])]), 'end_logits', TOKENS);
  },
};

const TOKENS = ['batch_size', 'sequence_length'] as const;
const same = (x: Value): Value => x;

function isTextTask(task: Task): task is TextTask {
  return Object.hasOwn(outputs, task);
}

function give(net: Network, value: Value, name: string, shape: readonly (string | number)[]): void {
  net.builder.output(net.widen(value), name, tensorType('float32', shape));
}

/** Classes of transformers by what is appended to the family's name: `BertForMaskedLM`. */
const TEXT_CLASSES: Readonly<Record<string, TextTask>> = {
  Model: 'feature-extraction',
  ForMaskedLM: 'fill-mask',
  ForSequenceClassification: 'text-classification',
  ForTokenClassification: 'token-classification',
  ForQuestionAnswering: 'question-answering',
};

export interface MoreTextClasses {
  readonly choices?: boolean;
  /** Suffix of the class that writes: `ForCausalLM`. */
  readonly writes?: string;
}

export function textClasses(family: string, { choices = false, writes }: MoreTextClasses = {}): Record<string, Task> {
  const classes: Readonly<Record<string, Task>> = { ...TEXT_CLASSES, ...(choices && { ForMultipleChoice: 'multiple-choice' }), ...(writes !== undefined && { [writes]: 'text-generation' }) };
  return Object.fromEntries(Object.entries(classes).map(([suffix, task]) => [family + suffix, task]));
}

/** A linear layer over `pooler`, as a head that chooses. */
export function poolerChoice(net: Network, module: string, x: Value, hidden: number): Value {
  return choice(net, net.module(module, () => pooler(net, 'pooler.dense', x, hidden)), hidden);
}

/** (batch, hidden) to (batch, 1). */
export function choice(net: Network, pooled: Value, hidden: number): Value {
  return linear(net, 'classifier', pooled, { inputs: hidden, outputs: 1, bias: true });
}

/** The hidden state of the first token, (batch, hidden). */
export function firstToken(net: Network, x: Value): Value {
  return net.op('Gather', [x, net.ints(0)], { axis: 1 });
}

/** The mean of the hidden states of real tokens, (batch, hidden), of the mask (batch, seq). */
export function meanOfTokens(net: Network, x: Value, mask: Value): Value {
  const weights = net.op('Unsqueeze', [net.op('Cast', [mask], { to: FLOAT }), net.ints([-1])]); // (batch, seq, 1)
  const sum = net.op('ReduceSum', [net.op('Mul', [net.widen(x), weights]), net.ints([1])], { keepdims: 0 });
  // a row of nothing but padding has no mean; it gets 0
  const count = net.op('Max', [net.op('ReduceSum', [weights, net.ints([1])], { keepdims: 0 }), net.float32(1)]);
  return net.narrow(net.op('Div', [sum, count]));
}

/** tanh(W · first token + b), (batch, hidden), inside the module `name`. */
export function pooler(net: Network, name: string, x: Value, hidden: number): Value {
  return net.op('Tanh', [linear(net, name, firstToken(net, x), { inputs: hidden, outputs: hidden, bias: true })]);
}

export interface DenseClassifierShape {
  readonly hidden: number;
  readonly labels: number;
  readonly activation: ActivationName;
}

/** out_proj(act(dense(first token))), (batch, labels), inside the module `name`. */
export function firstTokenClassifier(
  net: Network,
  name: string,
  x: Value,
  shape: DenseClassifierShape,
): Value {
  return denseClassifier(net, name, firstToken(net, x), shape);
}

/** out_proj(act(dense(x))), (batch, hidden) to (batch, labels), inside the module `name`. */
export function denseClassifier(net: Network, name: string, x: Value, { hidden, labels, activation }: DenseClassifierShape): Value {
  return net.module(name, () => {
    const dense = linear(net, 'dense', x, { inputs: hidden, outputs: hidden, bias: true });
    return linear(net, 'out_proj', activations[activation](net, dense), { inputs: hidden, outputs: labels, bias: true });
  });
}

export interface TransformShape {
  readonly hidden: number;
  readonly activation: ActivationName;
  readonly norm: LayerNormShape;
  /** Of the dense layer; true when absent. */
  readonly bias?: boolean;
}

/** norm(act(dense(x))), (…, hidden) to (…, width of the norm). */
export function transform(net: Network, x: Value, names: { readonly dense: string; readonly norm: string }, shape: TransformShape): Value {
  const { hidden, activation, norm, bias = true } = shape;
  const dense = linear(net, names.dense, x, { inputs: hidden, outputs: norm.width, bias });
  return layerNorm(net, names.norm, activations[activation](net, dense), norm);
}

export interface MaskedHeadShape extends TransformShape {
  readonly vocabulary: number;
}

/** Modules of the head, as the checkpoint names them. */
export interface MaskedHeadNames {
  readonly dense: string;
  readonly norm: string;
  readonly decoder: string;
}

/**
 * The bias of the decoder is stored beside it, or inside it, or, when it is untied, in both places with only the one inside
 * meant.
 */
export function decoderBias(head: string): Renaming {
  return [new RegExp(`^${head.replaceAll('.', '\\.')}\\.bias$`), `${head}.decoder.bias`];
}

/** The head of RoBERTa and those that copied it, inside the module `lm_head`. */
export const LM_HEAD: MaskedHeadNames = { dense: 'dense', norm: 'layer_norm', decoder: 'decoder' };

/** decoder(transform(x)), (batch, seq, vocabulary); `table` is the embedding table, which the head's matrix may be tied to. */
export function maskedHead(net: Network, x: Value, table: Table, names: MaskedHeadNames, shape: MaskedHeadShape): Value {
  const words = { vocabulary: shape.vocabulary, hidden: shape.norm.width };
  return languageHead(net, names.decoder, transform(net, x, names, shape), words, net.tied ? table : undefined, true);
}
