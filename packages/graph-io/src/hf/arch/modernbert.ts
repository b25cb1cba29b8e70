/** ModernBERT: rotary places, layers that look near or everywhere, gated feed-forward layers, norms before them. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { encoderAttention, maskBias, nearTokens, type ProjectionNames, realTokens } from '../blocks/attention-encoder.js';
import { rotate } from '../blocks/attention-standard.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { type EncoderFields, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { gatedMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { once } from '../blocks/once.js';
import { placesInOrder } from '../blocks/text-embeddings.js';
import { choice, firstToken, meanOfTokens, textClasses, textOutputs, transform } from '../blocks/text-heads.js';
import { statesAt } from '../blocks/two-towers.js';
import { slidingLayers } from '../decoder/windows.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { readRope, type Rope } from '../rope.js';
import { textInputs } from '../text-ports.js';

export const modernbert: Architecture = {
  modelType: 'modernbert',
  backbone: 'model',
  classes: textClasses('ModernBert', { choices: true }),
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'model.embeddings.tok_embeddings.weight', head: 'decoder.weight', byDefault: true },
  ignoredWeights: [/\.rotary_emb\.inv_freq$/],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config, task) => {
  const { shape, vocabulary, kinds, head, decoderBias, pooling, labels } = read(config);
  const { hidden, norm } = shape;
  const { ids, mask } = textInputs(net, { tokenTypes: false });

  const { table, last } = net.module('model', () => {
    const embedded = net.module('embeddings', () => {
      const { table, hidden: words } = embedding(net, 'tok_embeddings', ids, { vocabulary, hidden });
      return { table, x: layerNorm(net, 'norm', words, norm) };
    });
    const places = placesInOrder(net, ids);
    const real = realTokens(net, mask);
    const options = once(({ rope, distance }: Kind) => {
      const seen = distance === Infinity ? real : net.op('And', [nearTokens(net, places, distance), real]);
      return { bias: maskBias(net, seen), rotate: rotate(net, places, rope) };
    });
    let { x } = embedded;
    for (const [i, kind] of kinds.entries()) {
      x = net.module(`layers.${i}`, () => {
        const calm = i === 0 ? x : layerNorm(net, 'attn_norm', x, norm);
        const middle = net.op('Add', [x, net.module('attn', () => encoderAttention(net, calm, PROJECTIONS, shape.attention, options(kind)))]);
        return net.op('Add', [middle, gatedMlp(net, 'mlp', layerNorm(net, 'mlp_norm', middle, norm), shape.mlp)]);
      });
    }
    return { table: embedded.table, last: layerNorm(net, 'final_norm', x, norm) };
  });

  const pooled = (x: Value): Value => pools[pooling](net, x, mask);
  const transformed = (x: Value): Value => net.module('head', () => transform(net, x, { dense: 'dense', norm: 'norm' }, head));
  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => languageHead(net, 'decoder', transformed(x), { vocabulary, hidden }, net.tied ? table : undefined, decoderBias),
    choose: (x) => choice(net, transformed(pooling === 'cls' ? firstReal(net, x, mask) : pooled(x)), hidden),
    classify: (x) => linear(net, 'classifier', transformed(pooled(x)), { inputs: hidden, outputs: labels, bias: true }),
    tokens: transformed,
    answers: 'classifier',
  });
};

/** The state of the first token that is not padding, (batch, hidden). */
function firstReal(net: Network, x: Value, mask: Value): Value {
  return statesAt(net, x, net.op('ArgMax', [mask], { axis: 1, keepdims: 0 }));
}

/** By `classifier_pooling`. */
const pools: Readonly<Record<'cls' | 'mean', (net: Network, x: Value, mask: Value) => Value>> = { cls: firstToken, mean: meanOfTokens };

const PROJECTIONS: ProjectionNames = { query: 'q_proj', key: 'k_proj', value: 'v_proj', output: 'Wo' };

const FIELDS: EncoderFields = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  intermediate: 'intermediate_size',
  activation: 'hidden_activation',
  defaultActivation: 'gelu',
  epsilon: 'norm_eps',
  defaultEpsilon: 1e-5,
};

/** What layers of one kind share: how far they look and how their places turn. */
interface Kind {
  readonly rope: Rope;
  readonly distance: number;
}

function read(config: Fields) {
  const sizes = readEncoder(config, FIELDS);
  const norm = { ...sizes.norm, bias: config.boolean('norm_bias', false) };
  const shape = {
    ...sizes,
    norm,
    attention: { ...sizes.attention, bias: config.boolean('attention_bias', false), fused: 'Wqkv' },
    mlp: { ...sizes.mlp, bias: config.boolean('mlp_bias', false), fused: 'Wi', names: { down: 'Wo' } },
  };
  const everywhere: Kind = { rope: ropeOf(config, 'full_attention', shape.attention.headDim), distance: Infinity };
  const near: Kind = {
    rope: ropeOf(config, 'sliding_attention', shape.attention.headDim),
    distance: Math.floor(config.size('local_attention', 128) / 2),
  };
  const period = config.size('global_attn_every_n_layers', 3);
  return {
    shape,
    vocabulary: config.size('vocab_size'),
    kinds: slidingLayers(config, shape.layers, (i) => i % period !== 0).map((sliding) => (sliding ? near : everywhere)),
    head: {
      hidden: sizes.hidden,
      activation: config.choice('classifier_activation', activations, 'gelu'),
      norm,
      bias: config.boolean('classifier_bias', false),
    },
    decoderBias: config.boolean('decoder_bias', true),
    pooling: config.choice('classifier_pooling', pools, 'cls'),
    labels: readLabels(config),
  };
}

/** The base of each kind, where configs before transformers 5 have it and what it is without. */
const THETAS = {
  full_attention: { field: 'global_rope_theta', value: 160_000 },
  sliding_attention: { field: 'local_rope_theta', value: 10_000 },
} as const;

function ropeOf(config: Fields, kind: keyof typeof THETAS, dim: number): Rope {
  const settings = config.inside('rope_parameters')?.inside(kind) ?? config.inside('rope_scaling') ?? null;
  return readRope(config, { dim, maxPositions: config.size('max_position_embeddings', 8192), theta: THETAS[kind], settings });
}
