/** Names of tensors in GGUF files, as llama.cpp gives them, and in the checkpoints they come from. */

/** Both without the `.weight` or `.bias` at the end. */
export interface GgufNames {
  /** Outside of layers. */
  readonly outer: Readonly<Record<string, string>>;
  /** `model.layers`: what `blk` is. */
  readonly layers: string;
  /** Inside a layer. */
  readonly layer: Readonly<Record<string, string>>;
  readonly experts?: ExpertNames;
}

/** Matrices of experts: stacked as `ffn_up_exps` (experts, outputs, inputs), in files of early 2024 one by one as `ffn_up.3`. */
export interface ExpertNames {
  /** Inside a layer of the checkpoint; the number of the expert follows. */
  readonly module: string;
  readonly ffn_gate: string;
  readonly ffn_up: string;
  readonly ffn_down: string;
}

const outer = { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' };

const attention = {
  attn_q: 'self_attn.q_proj', attn_k: 'self_attn.k_proj', attn_v: 'self_attn.v_proj', attn_output: 'self_attn.o_proj',
};
const headNorms = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' };
const mlp = { ffn_gate: 'mlp.gate_proj', ffn_up: 'mlp.up_proj', ffn_down: 'mlp.down_proj' };
const preNorms = { attn_norm: 'input_layernorm', ffn_norm: 'post_attention_layernorm' };

const decoder = (layer: GgufNames['layer']): GgufNames => ({ outer, layers: 'model.layers', layer });

/** Llama, Mistral, Qwen2, Gemma, SmolLM3. */
export const llamaNames = decoder({ ...preNorms, ...attention, ...mlp });

export const qwen3Names = decoder({ ...preNorms, ...attention, ...headNorms, ...mlp });

const shared = {
  ffn_gate_inp_shexp: 'mlp.shared_expert_gate', ffn_gate_shexp: 'mlp.shared_expert.gate_proj', ffn_up_shexp: 'mlp.shared_expert.up_proj',
  ffn_down_shexp: 'mlp.shared_expert.down_proj',
};
const qwenExperts: ExpertNames = { module: 'mlp.experts', ffn_gate: 'gate_proj', ffn_up: 'up_proj', ffn_down: 'down_proj' };

export const mixtralNames: GgufNames = {
  ...decoder({ ...preNorms, ...attention, ffn_gate_inp: 'block_sparse_moe.gate' }),
  experts: { module: 'block_sparse_moe.experts', ffn_gate: 'w1', ffn_up: 'w3', ffn_down: 'w2' },
};

export const qwen2MoeNames: GgufNames = { ...decoder({ ...preNorms, ...attention, ffn_gate_inp: 'mlp.gate', ...shared }), experts: qwenExperts };

export const qwen3MoeNames: GgufNames = { ...decoder({ ...preNorms, ...attention, ...headNorms, ffn_gate_inp: 'mlp.gate' }), experts: qwenExperts };

const sandwich = {
  attn_norm: 'input_layernorm', post_attention_norm: 'post_attention_layernorm',
  ffn_norm: 'pre_feedforward_layernorm', post_ffw_norm: 'post_feedforward_layernorm',
};

export const gemma2Names = decoder({ ...sandwich, ...attention, ...mlp });

export const gemma3Names = decoder({ ...sandwich, ...attention, ...headNorms, ...mlp });

export const olmo2Names = decoder({
  post_attention_norm: 'post_attention_layernorm', post_ffw_norm: 'post_feedforward_layernorm', ...attention, ...headNorms, ...mlp,
});

export const phi3Names = decoder({
  ...preNorms, attn_qkv: 'self_attn.qkv_proj', attn_output: 'self_attn.o_proj', ffn_up: 'mlp.gate_up_proj', ffn_down: 'mlp.down_proj',
});

export const starcoder2Names = decoder({ ...preNorms, ...attention, ffn_up: 'mlp.c_fc', ffn_down: 'mlp.c_proj' });

export const phi2Names: GgufNames = {
  outer: { ...outer, output_norm: 'model.final_layernorm' },
  layers: 'model.layers',
  layer: { attn_norm: 'input_layernorm', ...attention, attn_output: 'self_attn.dense', ffn_up: 'mlp.fc1', ffn_down: 'mlp.fc2' },
};

export const cohereNames = decoder({ attn_norm: 'input_layernorm', ...attention, ...headNorms, ...mlp });

const falcon = (norms: GgufNames['layer']): GgufNames => ({
  outer: { token_embd: 'transformer.word_embeddings', output_norm: 'transformer.ln_f', output: 'lm_head' },
  layers: 'transformer.h',
  layer: {
    ...norms, attn_qkv: 'self_attention.query_key_value', attn_output: 'self_attention.dense',
    ffn_up: 'mlp.dense_h_to_4h', ffn_down: 'mlp.dense_4h_to_h',
  },
});

export const falconNames = falcon({ attn_norm: 'input_layernorm' });

/** llama.cpp puts the second norm in front of attention. */
export const falconTwoNormsNames = falcon({ attn_norm: 'ln_mlp', attn_norm_2: 'ln_attn' });

export const gpt2Names: GgufNames = {
  outer: { token_embd: 'transformer.wte', position_embd: 'transformer.wpe', output_norm: 'transformer.ln_f', output: 'lm_head' },
  layers: 'transformer.h',
  layer: { attn_norm: 'ln_1', attn_qkv: 'attn.c_attn', attn_output: 'attn.c_proj', ffn_norm: 'ln_2', ffn_up: 'mlp.c_fc', ffn_down: 'mlp.c_proj' },
};

export const gptNeoXNames: GgufNames = {
  outer: { token_embd: 'gpt_neox.embed_in', output_norm: 'gpt_neox.final_layer_norm', output: 'embed_out' },
  layers: 'gpt_neox.layers',
  layer: {
    attn_norm: 'input_layernorm', attn_qkv: 'attention.query_key_value', attn_output: 'attention.dense',
    ffn_norm: 'post_attention_layernorm', ffn_up: 'mlp.dense_h_to_4h', ffn_down: 'mlp.dense_4h_to_h',
  },
};

export interface GgufPlace {
  /** `blk.3` or empty. */
  readonly layer: number | undefined;
  /** `attn_q`. */
  readonly stem: string;
  /** `.weight`, `.bias`. */
  readonly suffix: string;
}

const TENSOR = /^(?:blk\.(\d{1,4})\.)?(.+?)(\.weight|\.bias)?$/;

export function ggufPlace(name: string): GgufPlace {
  const [, layer, stem = '', suffix = ''] = TENSOR.exec(name) ?? [];
  return { layer: layer === undefined ? undefined : Number(layer), stem, suffix };
}

/** The name in the checkpoint; undefined for a tensor that is not known. */
export function checkpointName({ outer, layers, layer: inner, experts }: GgufNames, { layer, stem, suffix }: GgufPlace): string | undefined {
  const table = layer === undefined ? outer : inner;
  if (Object.hasOwn(table, stem)) return layer === undefined ? `${table[stem]!}${suffix}` : `${layers}.${layer}.${table[stem]!}${suffix}`;
  const [, matrix, number] = EXPERT.exec(stem) ?? [];
  return experts && layer !== undefined && number !== undefined
    ? `${layers}.${layer}.${experts.module}.${Number(number)}.${experts[matrix as keyof ExpertNames]}${suffix}`
    : undefined;
}

const EXPERT = /^(ffn_gate|ffn_up|ffn_down)\.(\d{1,4})$/;
const STACK = /^(ffn_gate|ffn_up|ffn_down)_exps$/;

/** The stem that expert `index` of a stack has where experts lie one by one; undefined for a tensor that is no stack. */
export function expertOf(stem: string): ((index: number) => string) | undefined {
  const matrix = STACK.exec(stem)?.[1];
  return matrix === undefined ? undefined : (index) => `${matrix}.${index}`;
}

/** The place in a GGUF file of a tensor of the checkpoint, experts one by one; undefined for one that is not known. */
export function ggufPlaceOf({ outer, layers, layer: inner, experts }: GgufNames, name: string): GgufPlace | undefined {
  const [, module = '', suffix = ''] = /^(.+?)(\.weight|\.bias)?$/.exec(name) ?? [];
  const inLayer = module.startsWith(`${layers}.`) ? /^(\d{1,4})\.(.+)$/.exec(module.slice(layers.length + 1)) : null;
  const layer = inLayer ? Number(inLayer[1]) : undefined;
  const [table, wanted] = inLayer ? [inner, inLayer[2]!] : [outer, module];
  const stem = Object.keys(table).find((key) => table[key] === wanted) ?? (inLayer && experts ? expertStem(experts, wanted) : undefined);
  return stem === undefined ? undefined : { layer, stem, suffix };
}

function expertStem(experts: ExpertNames, wanted: string): string | undefined {
  const match = wanted.startsWith(`${experts.module}.`) ? /^(\d{1,4})\.([^.]+)$/.exec(wanted.slice(experts.module.length + 1)) : null;
  const matrix = (['ffn_gate', 'ffn_up', 'ffn_down'] as const).find((key) => experts[key] === match?.[2]);
  return matrix && `${matrix}.${match![1]!}`;
}

/** Whose stack a tensor belongs to, and where: `ffn_up.3` is number 3 of `ffn_up_exps`. */
export function stackOf({ stem }: GgufPlace): { readonly stem: string; readonly index: number } | undefined {
  const [, matrix, number] = EXPERT.exec(stem) ?? [];
  return number === undefined ? undefined : { stem: `${matrix!}_exps`, index: Number(number) };
}

export function ggufName({ layer, stem, suffix }: GgufPlace): string {
  return `${layer === undefined ? '' : `blk.${layer}.`}${stem}${suffix}`;
}
