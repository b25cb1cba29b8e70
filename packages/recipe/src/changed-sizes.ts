/** config.json of a model whose steps took heads, features or layers out: the fields that count them. */
import type { PassResult } from '@penjing/core';
import type { HuggingFaceConfig, JsonObject } from '@penjing/graph-io';

type Sizes = NonNullable<PassResult['sizes']>;

/** Names by which configurations count what; the first number that is there and right is changed. */
export const FIELDS = {
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv'],
  heads: ['num_attention_heads', 'n_head', 'n_heads', 'num_heads'],
  ffn: ['intermediate_size', 'n_inner', 'ffn_dim', 'ffn_hidden_size', 'hidden_dim', 'd_ff'],
  layers: ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'],
  hidden: ['hidden_size', 'n_embd', 'd_model', 'dim'],
} as const;
/** Lists with an entry for each layer: `layer_types`, `no_rope_layers`, `attention_layers`. */
const LISTS = /layer/;
/** As wide as the hidden features, where they are so before. */
const AS_HIDDEN = ['embedding_size', 'word_embed_proj_dim'] as const;

/** The same folder with these sizes in its configuration. */
export function withSizes(folder: HuggingFaceConfig, sizes: Sizes | undefined): HuggingFaceConfig {
  if (!sizes) return folder;
  const { config } = folder;
  const changed: Record<string, JsonObject[string]> = { ...config };
  const count = (names: readonly string[]): string | undefined => names.find((name) => typeof config[name] === 'number');
  const { heads, ffn, hidden, layers } = sizes;
  const wide = count(FIELDS.hidden);
  const width = wide === undefined ? undefined : (config[wide] as number);
  const total = count(FIELDS.heads);
  // readers that find no size of a head divide the hidden features by the number of heads, which are others now
  if ((heads || hidden) && total !== undefined && width !== undefined && typeof config['head_dim'] !== 'number') changed['head_dim'] = width / (config[total] as number);
  if (heads) {
    const [queries, shared] = [total === undefined ? undefined : (config[total] as number), count(FIELDS.keyValueHeads)];
    if (total !== undefined && queries !== undefined && (queries * heads.after) % heads.before === 0) changed[total] = (queries * heads.after) / heads.before;
    if (shared !== undefined && config[shared] === heads.before) changed[shared] = heads.after;
  }
  const features = count(FIELDS.ffn);
  if (ffn && features !== undefined && config[features] === ffn.before) changed[features] = ffn.after;
  if (hidden && wide !== undefined && width === hidden.before) {
    for (const name of [wide, ...AS_HIDDEN]) if (config[name] === hidden.before) changed[name] = hidden.after;
  }
  const depth = count(FIELDS.layers);
  if (layers && depth !== undefined && config[depth] === layers.before) {
    changed[depth] = layers.after;
    // a setting of each layer, `layer_types` for example
    const kept = layers.kept;
    for (const [name, list] of Object.entries(config)) if (kept && Array.isArray(list) && list.length === layers.before && LISTS.test(name)) changed[name] = kept.map((index) => list[index] as JsonObject[string]);
  }
  return { ...folder, config: changed, changed: true };
}
