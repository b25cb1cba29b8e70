/** config.json of a model whose steps took heads, features or layers out: the fields that count them. */
import type { PassResult } from '@penjing/core';
import type { HuggingFaceConfig, JsonObject } from '@penjing/graph-io';

type Sizes = NonNullable<PassResult['sizes']>;

/** Names by which configurations count what; the first number that is there and right is changed. */
const FIELDS = {
  keyValueHeads: ['num_key_value_heads', 'num_kv_heads', 'n_head_kv'],
  heads: ['num_attention_heads', 'n_head', 'n_heads', 'num_heads'],
  ffn: ['intermediate_size', 'n_inner', 'ffn_dim', 'ffn_hidden_size'],
  layers: ['num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'],
} as const;
/** Lists with an entry for each layer: `layer_types`, `no_rope_layers`, `attention_layers`. */
const LISTS = /layer/;
const HIDDEN = ['hidden_size', 'n_embd', 'd_model'] as const;

/** The same folder with these sizes in its configuration. */
export function withSizes(folder: HuggingFaceConfig, sizes: Sizes | undefined): HuggingFaceConfig {
  if (!sizes) return folder;
  const { config } = folder;
  const changed: Record<string, JsonObject[string]> = { ...config };
  const count = (names: readonly string[]): string | undefined => names.find((name) => typeof config[name] === 'number');
  const { heads, ffn, layers } = sizes;
  if (heads) {
    const [all, shared] = [count(FIELDS.heads), count(FIELDS.keyValueHeads)];
    const total = all === undefined ? undefined : (config[all] as number);
    const hidden = count(HIDDEN);
    // readers that find no size of a head divide by the number of heads, which is another one now
    if (total !== undefined && hidden !== undefined && typeof config['head_dim'] !== 'number') changed['head_dim'] = (config[hidden] as number) / total;
    if (all !== undefined && total !== undefined && (total * heads.after) % heads.before === 0) changed[all] = (total * heads.after) / heads.before;
    if (shared !== undefined && config[shared] === heads.before) changed[shared] = heads.after;
  }
  const features = count(FIELDS.ffn);
  if (ffn && features !== undefined && config[features] === ffn.before) changed[features] = ffn.after;
  const depth = count(FIELDS.layers);
  if (layers && depth !== undefined && config[depth] === layers.before) {
    changed[depth] = layers.after;
    // a setting of each layer, `layer_types` for example
    const kept = layers.kept;
    for (const [name, list] of Object.entries(config)) if (kept && Array.isArray(list) && list.length === layers.before && LISTS.test(name)) changed[name] = kept.map((index) => list[index] as JsonObject[string]);
  }
  return { ...folder, config: changed, changed: true };
}
