/** OPT: learned positions that start at 2, layer norms before the parts of a layer or after them, narrow embeddings. */
import { lazy, type Value } from '@penjing/core';
import type { Architecture, BuildGraph } from '../architecture.js';
import { activations } from '../blocks/activation.js';
import { causalDecoder, residualLayer } from '../blocks/decoder.js';
import { linear } from '../blocks/linear.js';
import { plainMlp } from '../blocks/mlp.js';
import { layerNorm } from '../blocks/norm.js';
import { selfAttention } from '../blocks/self-attention.js';
import type { Network } from '../network.js';
import { decoderSizes, everyLayer } from '../decoder-fields.js';
import type { Fields } from '../fields.js';

/** Rows at the start of the position table that no token uses. */
const OFFSET = 2;

export const opt: Architecture = {
  modelType: 'opt',
  classes: { OPTForCausalLM: 'text-generation' },
  tied: { table: 'model.decoder.embed_tokens.weight', head: 'lm_head.weight', byDefault: true },
  backbone: 'model',
  ignoredWeights: [],
  clientConfig: (config) => ({ num_attention_heads: config.size('num_attention_heads'), hidden_size: config.size('hidden_size') }),
  graphs: () => ({ model: build }),
};

const build: BuildGraph = (net, config) => {
  const { sizes, hidden, narrow, attention, projections, mlp, before, lastNorm, maxPositions } = read(config);
  const norm = (name: string, x: Value): Value => layerNorm(net, name, x, { width: hidden, epsilon: 1e-5 });
  const first = (name: string, x: Value): Value => (before ? norm(name, x) : x);
  const then = (name: string, x: Value): Value => (before ? x : norm(name, x));
  const project = (name: string, x: Value, inputs: number, outputs: number): Value =>
    narrow === hidden ? x : linear(net, name, x, { inputs, outputs, bias: false });
  causalDecoder(net, { ...sizes, hidden: narrow }, {
    names: { base: 'model.decoder', embedding: 'embed_tokens', layers: 'layers', head: 'lm_head' },
    attention,
    embed: (tokens, positions) =>
      net.op('Add', [project('project_in', tokens, narrow, hidden), learnedPositions(net, positions, maxPositions, hidden)]),
    layer: (x, attention) =>
      residualLayer(net, x, {
        attention: (x) => selfAttention(net, 'self_attn', first('self_attn_layer_norm', x), projections, attention),
        afterAttention: (x) => then('self_attn_layer_norm', x),
        mlp: (x) => plainMlp(net, first('final_layer_norm', x), mlp),
        afterMlp: (x) => then('final_layer_norm', x),
      }),
    norm: (x) => project('project_out', lastNorm ? norm('final_layer_norm', x) : x, hidden, narrow),
  });
};

function learnedPositions(net: Network, positions: Value, count: number, hidden: number): Value {
  return net.module('embed_positions', () => {
    const table = net.stored('weight', [count + OFFSET, hidden]);
    return net.op('Gather', [net.derived('weight', lazy.slice(table, [OFFSET, 0], [count, hidden])), positions]);
  });
}

function read(config: Fields) {
  config.only('layer_norm_elementwise_affine', true, 'layer norms without weights');
  const { decoder: sizes, heads, maxPositions } = decoderSizes(config, { maxPositions: 2048 });
  const { hidden } = heads;
  const bias = config.boolean('enable_bias', true);
  const before = config.boolean('do_layer_norm_before', true);
  return {
    sizes, hidden, before, maxPositions,
    narrow: config.size('word_embed_proj_dim', hidden),
    attention: everyLayer(sizes.layers, { ...heads, scale: heads.headDim ** -0.5 }),
    projections: { ...heads, bias, output: { name: 'out_proj', bias } },
    mlp: {
      hidden, intermediate: config.size('ffn_dim'), activation: config.choice('activation_function', activations, 'relu'),
      bias, names: ['fc1', 'fc2'],
    },
    lastNorm: before && !config.boolean('_remove_final_layer_norm', false),
  } as const;
}
