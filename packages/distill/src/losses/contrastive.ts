/** Learning embeddings from pairs of texts that mean the same, or that mean as much the same as a score says. */
import type { Value } from '@penjing/core';
import { dtypeOf, type Loss, type LossContext } from './loss.js';

export interface PairOptions {
  /** Output of the model, (pairs, 2, width), as `readPairs` makes it; `sentence_embedding` when absent. */
  readonly embedding?: string;
}

export interface ContrastiveOptions extends PairOptions {
  /** Divides the cosines; 0.05 when absent. */
  readonly temperature?: number;
  /** Asks for the first text of each second one too, and takes the mean of both questions. */
  readonly symmetric?: boolean;
  /** Input that is added, int64 (pairs): pairs of the same number are no negatives of each other. None when absent. */
  readonly groups?: string;
}

/** What keeps a score out of a softmax, and is finite. */
const NEVER = -1e4;

/**
 * −log of the share that the second text of a pair has among those of all pairs of the batch, by cosines over the temperature: InfoNCE with the other pairs as negatives (van den Oord et al. 2018, arXiv:1807.03748;
 * Henderson et al. 2017, arXiv:1705.00652). In nats, the mean over pairs. Larger batches ask more.
 */
export function contrastive({ embedding = 'sentence_embedding', temperature = 0.05, symmetric = false, groups }: ContrastiveOptions = {}): Loss {
  return (context) => {
    const { b, input } = context;
    const [first, second] = unitPairs(context, embedding);
    const cosines = b.op('MatMul', [first, b.op('Transpose', [second], { perm: [1, 0] })]);
    let scores = b.op('Mul', [cosines, like(context, 1 / temperature, cosines)]);
    const count = b.op('Gather', [b.op('Shape', [scores]), b.constant('int64', 0)], { axis: 0 });
    const places = b.op('Range', [b.constant('int64', 0), count, b.constant('int64', 1)]);
    if (groups !== undefined) {
      const grid = (value: Value): [Value, Value] => [b.op('Unsqueeze', [value, b.constant('int64', [1])]), b.op('Unsqueeze', [value, b.constant('int64', [0])])];
      const others = b.op('Not', [b.op('Equal', grid(places))]);
      const alike = b.op('And', [b.op('Equal', grid(input(groups, 'int64', ['pairs']))), others]);
      scores = b.op('Add', [scores, b.op('Mul', [b.op('CastLike', [alike, scores]), like(context, NEVER, scores)])]);
    }
    const asked = b.op('SoftmaxCrossEntropyLoss', [scores, places]);
    if (!symmetric) return asked;
    const back = b.op('SoftmaxCrossEntropyLoss', [b.op('Transpose', [scores], { perm: [1, 0] }), places]);
    return b.op('Mul', [b.op('Add', [asked, back]), like(context, 0.5, asked)]);
  };
}

export interface SimilarityOptions extends PairOptions {
  /** Input that is added, float32 (pairs): cosines as they should be; `scores` when absent. */
  readonly scores?: string;
}

/** Mean of (cosine − score)², as Reimers and Gurevych have it (arXiv:1908.10084). */
export function pairSimilarity({ embedding = 'sentence_embedding', scores = 'scores' }: SimilarityOptions = {}): Loss {
  return (context) => {
    const { b, input } = context;
    const [first, second] = unitPairs(context, embedding);
    const cosines = b.op('ReduceSum', [b.op('Mul', [first, second]), b.constant('int64', [-1])], { keepdims: 0 });
    const difference = b.op('Sub', [cosines, b.op('CastLike', [input(scores, 'float32', ['pairs']), cosines])]);
    return b.op('ReduceMean', [b.op('Mul', [difference, difference])], { keepdims: 0 });
  };
}

const like = ({ b }: LossContext, number: number, value: Value): Value => b.op('CastLike', [b.constant('float32', number), value]);

/** Both texts of each pair, (pairs, width), of length 1. */
function unitPairs(context: LossContext, embedding: string): [Value, Value] {
  const { b, value } = context;
  const pairs = value(embedding);
  const squares = b.op('ReduceSum', [b.op('Mul', [pairs, pairs]), b.constant('int64', [-1])], { keepdims: 1 });
  const units = b.op('Div', [pairs, b.op('Sqrt', [b.op('Max', [squares, like(context, 1e-12, pairs)])])]);
  units.type = { kind: 'tensor', dtype: dtypeOf(pairs), ...(pairs.type?.kind === 'tensor' && pairs.type.shape && { shape: pairs.type.shape }) };
  const [first, second] = b.nodes('Split', [units, b.constant('int64', [1, 1])], { axis: 1 }, { outputCount: 2 }) as [Value, Value];
  const flat = (part: Value): Value => b.op('Squeeze', [part, b.constant('int64', [1])]);
  return [flat(first), flat(second)];
}
