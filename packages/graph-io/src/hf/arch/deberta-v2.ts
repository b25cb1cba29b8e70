/** DeBERTa version 2 and 3: places only as distances between tokens, inside the attention. */
import type { Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { disentangledAttention, distanceRows, type DistanceShape, type DistanceTerms } from '../blocks/attention-disentangled.js';
import { maskBias, type ProjectionNames } from '../blocks/attention-encoder.js';
import { embedding, languageHead } from '../blocks/embedding.js';
import { BERT_FIELDS, readEncoder, readLabels } from '../blocks/encoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { lengthOf, placesInOrder } from '../blocks/text-embeddings.js';
import { choice, decoderBias, firstToken, maskedHead, textClasses, textOutputs, transform } from '../blocks/text-heads.js';
import type { Fields } from '../fields.js';
import { textInputs } from '../text-ports.js';

export const debertaV2: Architecture = {
  modelType: 'deberta-v2',
  backbone: 'deberta',
  classes: textClasses('DebertaV2', { choices: true }),
  otherTasks: ['feature-extraction', 'sentence-similarity'],
  tied: { table: 'deberta.embeddings.word_embeddings.weight', head: 'cls.predictions.decoder.weight', byDefault: true },
  renamed: [decoderBias('cls.predictions')],
  ignoredWeights: [/\.embeddings\.position_(ids|embeddings\.weight)$/, /^mask_predictions\./],
  clientConfig: () => ({}),
  graphs: () => ({ model: build }),
};

const BOOL = 9;

/** Models have 512; a row of every distance is worked out before the weights show the true number. */
const MAX_DISTANCES = 2 ** 14;

const build: BuildGraph = (net, config, task) => {
  const { shape, words, distances, terms, normed, legacy, pooling, labels } = read(config);
  const { hidden, norm, attention, mlp } = shape;
  const { vocabulary, width } = words;
  const { ids, mask, types } = textInputs(net, { tokenTypes: words.types > 0 });

  const { table, last } = net.module('deberta', () => {
    const real = net.op('Unsqueeze', [net.op('Cast', [mask], { to: BOOL }), net.ints([-1])]); // (batch, seq, 1)
    const { table, x: embedded } = net.module('embeddings', () => {
      const { table, hidden: x } = embedding(net, 'word_embeddings', ids, { vocabulary, hidden: width });
      const placed = words.positions === 0 ? x : net.op('Add', [x, net.module('position_embeddings', () =>
        net.op('Slice', [net.weight('weight', [words.positions, width]), net.ints([0]), lengthOf(net, ids), net.ints([0])]))]);
      const typed = types ? net.op('Add', [placed, embedding(net, 'token_type_embeddings', types, { vocabulary: words.types, hidden: width }).hidden]) : placed;
      const wide = width === hidden ? typed : linear(net, 'embed_proj', typed, { inputs: width, outputs: hidden, bias: false });
      return { table, x: net.op('Where', [real, layerNorm(net, 'LayerNorm', wide, norm), net.scalar(0)]) };
    });

    return net.module('encoder', () => {
      const rows = distanceRows(net, embedded, placesInOrder(net, ids), attention.heads, distances);
      const stored = net.module('rel_embeddings', () => net.weight('weight', [2 * distances.span, hidden]));
      const wanted = net.op('Unsqueeze', [normed ? layerNorm(net, 'LayerNorm', stored, norm) : stored, net.ints([0])]);
      // padding neither sees nor is seen, (batch, 1, seq, seq)
      const seen = net.op('Unsqueeze', [net.op('And', [real, net.op('Transpose', [real], { perm: [0, 2, 1] })]), net.ints([1])]);
      const bias = maskBias(net, seen);
      let x = embedded;
      for (let i = 0; i < shape.layers; i++) {
        x = net.module(`layer.${i}`, () => {
          const mixed = disentangledAttention(net, x, PROJECTIONS, attention, terms, { distances: wanted, rows, bias });
          const middle = layerNorm(net, 'attention.output.LayerNorm', net.op('Add', [x, mixed]), norm);
          const fed = plainMlp(net, middle, { ...mlp, names: ['intermediate.dense', 'output.dense'] });
          return layerNorm(net, 'output.LayerNorm', net.op('Add', [middle, fed]), norm);
        });
      }
      return { table, last: x };
    });
  });

  const pooled = (x: Value): Value =>
    activations[pooling](net, linear(net, 'pooler.dense', firstToken(net, x), { inputs: hidden, outputs: hidden, bias: true }));
  textOutputs(net, task, last, {
    hidden,
    labels,
    vocabulary,
    fillMask: (x) => {
      if (legacy) {
        const names = { dense: 'transform.dense', norm: 'transform.LayerNorm', decoder: 'decoder' };
        const head = { hidden, activation: mlp.activation, vocabulary, norm: { ...norm, width } };
        return net.module('cls.predictions', () => maskedHead(net, x, table, names, head));
      }
      const names = { dense: 'dense', norm: 'LayerNorm' };
      const dense = net.module('lm_predictions.lm_head', () => transform(net, x, names, { hidden, activation: mlp.activation, norm }));
      return languageHead(net, 'lm_predictions.lm_head', dense, { vocabulary, hidden }, table, true);
    },
    choose: (x) => choice(net, pooled(x), hidden),
    classify: (x) => linear(net, 'classifier', pooled(x), { inputs: hidden, outputs: labels, bias: true }),
  });
};

function read(config: Fields) {
  config.only('relative_attention', true, 'places are only distances here');
  config.only('conv_kernel_size', 0, 'the convolution of the first layer is missing here');
  const shape = readEncoder(config, { ...BERT_FIELDS, defaultEpsilon: 1e-7 });
  const maxPositions = config.size('max_position_embeddings', 512, MAX_DISTANCES);
  const stated = config.number('max_relative_positions', -1);
  const maxDistance = stated < 1 ? maxPositions : config.size('max_relative_positions', undefined, MAX_DISTANCES);
  const buckets = config.number('position_buckets', -1) > 0 ? config.size('position_buckets', undefined, MAX_DISTANCES) : undefined;
  const distances: DistanceShape = { span: buckets ?? maxDistance, maxDistance, ...(buckets !== undefined && { buckets }) };
  const named = wordsOf(config, 'pos_att_type');
  const terms: DistanceTerms = {
    toPosition: named.includes('c2p'),
    fromPosition: named.includes('p2c'),
    ...(!config.boolean('share_att_key', false) && { own: { key: 'attention.self.pos_key_proj', query: 'attention.self.pos_query_proj' } }),
  };
  return {
    shape,
    words: {
      vocabulary: config.size('vocab_size'),
      width: config.size('embedding_size', shape.hidden),
      types: config.number('type_vocab_size', 0) === 0 ? 0 : config.size('type_vocab_size'),
      positions: config.boolean('position_biased_input', true) ? maxPositions : 0,
    },
    distances,
    terms,
    normed: wordsOf(config, 'norm_rel_ebd').includes('layer_norm'),
    legacy: config.boolean('legacy', true),
    pooling: config.choice('pooler_hidden_act', activations, 'gelu'),
    labels: readLabels(config),
  };
}

/** A list of words, or words with bars between them. */
function wordsOf(config: Fields, name: string): readonly string[] {
  const value = config.get(name) ?? [];
  if (typeof value === 'string') return value.toLowerCase().split('|').map((word) => word.trim());
  const list = value as readonly unknown[];
  if (Array.isArray(value) && list.every((word): word is string => typeof word === 'string')) return list;
  throw config.wrong(name, 'a list of words');
}

const PROJECTIONS: ProjectionNames = {
  query: 'attention.self.query_proj',
  key: 'attention.self.key_proj',
  value: 'attention.self.value_proj',
  output: 'attention.output.dense',
};
