/** What a row of the table makes of one config: every size and choice settled, before a graph is built. */
import type { AttentionShape } from '../blocks/attention.js';
import type { NormShape } from '../blocks/norm.js';
import { once } from '../blocks/once.js';
import type { SelfAttentionShape } from '../blocks/self-attention.js';
import type { Fields } from '../fields.js';
import { readRope, type Rope } from '../rope.js';
import { settle } from '../settings.js';
import { type FeedForwardPart, gated } from './feed-forward.js';
import type { AttentionRow, DecoderNames, DecoderRow, EmbeddingRow, LayerNorms, QueryKeyNorms, RopeRow } from './row.js';
import { type DecoderSizes, readSizes } from './sizes.js';
import { noWindows } from './windows.js';

export interface DecoderPlan {
  readonly sizes: DecoderSizes;
  readonly names: Omit<DecoderNames, 'last'> & { readonly last: string | null };
  readonly embedding: EmbeddingRow & { readonly width: number; readonly factor: number };
  readonly norm: NormShape;
  readonly around: LayerNorms;
  readonly parallel: boolean;
  readonly residual: number;
  /** Tokens see those after them too. */
  readonly ahead: boolean;
  /** How each layer attends. */
  readonly attention: readonly AttentionShape[];
  readonly projections: SelfAttentionShape;
  readonly queryKey: QueryKeyNorms | undefined;
  readonly feedForward: FeedForwardPart;
  readonly logits: { readonly scale: number; readonly softcap: number | undefined; readonly bias: boolean };
}

/** What Llama calls its modules. */
export const LLAMA_NAMES: DecoderNames = {
  base: 'model', embedding: 'embed_tokens', layers: 'layers', last: 'norm', attention: 'self_attn', head: 'lm_head', tokens: 'score',
};

const LLAMA_AROUND: LayerNorms = { attention: { before: 'input_layernorm' }, mlp: { before: 'post_attention_layernorm' } };

/** Throws `E_CONFIG` naming the field that is missing, wrong or not supported. */
export function planDecoder(config: Fields, row: DecoderRow): DecoderPlan {
  for (const [name, [allowed, why]] of Object.entries(row.only ?? {})) config.only(name, allowed, why);
  const sizes = readSizes(config, row);
  const { hidden, heads, kvHeads, headDim } = sizes;
  const { attention = {}, embedding = {}, logits = {} } = row;
  const names = { ...LLAMA_NAMES, ...row.names };
  const bias = settle(config, attention.bias, false);
  return {
    sizes,
    names: { ...names, last: typeof names.last === 'function' ? names.last(config) : names.last },
    embedding: {
      ...embedding,
      width: embedding.narrow ? config.size(embedding.narrow.field, hidden) : hidden,
      factor: embedding.scale?.(config, hidden) ?? 1,
    },
    norm: normOf(config, row, hidden),
    around: settle(config, row.around, LLAMA_AROUND),
    parallel: settle(config, row.parallel, false),
    residual: settle(config, row.residual, 1),
    ahead: settle(config, attention.ahead, false),
    attention: attentionOf(config, row, sizes),
    projections: {
      hidden, heads, kvHeads, headDim, bias,
      output: { name: attention.output ?? 'o_proj', bias: settle(config, attention.outputBias, bias) },
      turned: attention.turned ?? false,
      ...(attention.fused && { fused: attention.fused }),
    },
    queryKey: settle(config, attention.queryKey),
    feedForward: (row.feedForward ?? gated())(config, sizes),
    logits: { scale: settle(config, logits.scale, 1), softcap: settle(config, logits.softcap), bias: logits.bias ?? false },
  };
}

function normOf(config: Fields, row: DecoderRow, width: number): NormShape {
  const { kind = 'rms', epsilon = ['rms_norm_eps', 1e-6], offset = 0, bias = true } = row.norm ?? {};
  return { kind, width, epsilon: typeof epsilon === 'number' ? epsilon : config.positive(...epsilon), offset, bias };
}

/** Layers that attend in the same way share one shape, and so their masks and angles. */
function attentionOf(config: Fields, row: DecoderRow, sizes: DecoderSizes): readonly AttentionShape[] {
  const { heads, kvHeads, headDim, layers } = sizes;
  const { windows = noWindows, rotated, scale, softcap }: AttentionRow = row.attention ?? {};
  const [capped, isRotated] = [settle(config, softcap), rotated?.(config, layers) ?? (() => true)];
  const { near, ...far } = row.rope ?? {};
  const ropes = { far: once(() => ropeOf(config, far, sizes)), near: once(() => ropeOf(config, near ?? far, sizes)) };
  const kinds = new Map<string, AttentionShape>();
  return windows(config, layers).map((window, index) => {
    const factor = scale?.(config, sizes, index) ?? headDim ** -0.5;
    const turns = row.rope !== null && isRotated(index, window);
    const rope = near && window !== undefined ? ropes.near : ropes.far;
    const key = [window, factor, turns].join();
    const known = kinds.get(key);
    if (known) return known;
    const shape: AttentionShape = {
      heads, kvHeads, headDim, scale: factor,
      ...(window !== undefined && { window }), ...(capped !== undefined && { softcap: capped }), ...(turns && { rope: rope(undefined) }),
    };
    kinds.set(key, shape);
    return shape;
  });
}

function ropeOf(config: Fields, { settings, ...row }: RopeRow, { headDim, maxPositions }: DecoderSizes): Rope {
  const given = settings?.(config);
  return readRope(config, { ...row, dim: headDim, maxPositions, ...(given !== undefined && { settings: given }) });
}
