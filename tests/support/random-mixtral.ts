/** A Mixtral checkpoint in memory, with seeded weights and as many experts as are asked for. */
import { createRng, DenseTensor, elementCount, type Tensor } from '@penjing/core';
import { type HuggingFaceFolder, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { fixturePath } from './task-folder.js';

export interface RandomMixtralOptions {
  readonly experts: number;
  readonly hidden?: number;
  /** Of an expert. */
  readonly inner?: number;
  readonly layers?: number;
}

/** Four heads, two of keys and values; 96 tokens. */
export async function randomMixtral({ experts, hidden = 32, inner = 24, layers = 2 }: RandomMixtralOptions): Promise<HuggingFaceFolder> {
  const fixture = await openHuggingFaceFolder(openFolder(fixturePath('decoders', 'mixtral')));
  const tensors = new Map<string, Tensor>();
  const rng = createRng(experts);
  const add = (name: string, ...shape: number[]): void => {
    const scale = 1 / Math.sqrt(shape.at(-1)!);
    const words = new Uint32Array(Float32Array.from({ length: elementCount(shape) }, () => (shape.length === 1 ? 1 : scale * rng.normal())).buffer);
    // the upper halves of float32
    tensors.set(`${name}.weight`, DenseTensor.of('bfloat16', shape, Uint16Array.from(words, (word) => word >>> 16)));
  };
  add('model.embed_tokens', 96, hidden);
  for (let i = 0; i < layers; i++) {
    const at = `model.layers.${i}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) add(`${at}.${norm}`, hidden);
    for (const [part, size] of [['q', hidden], ['k', hidden / 2], ['v', hidden / 2], ['o', hidden]] as const) add(`${at}.self_attn.${part}_proj`, size, hidden);
    add(`${at}.block_sparse_moe.gate`, experts, hidden);
    for (let e = 0; e < experts; e++) {
      for (const part of ['w1', 'w3']) add(`${at}.block_sparse_moe.experts.${e}.${part}`, inner, hidden);
      add(`${at}.block_sparse_moe.experts.${e}.w2`, hidden, inner);
    }
  }
  add('model.norm', hidden);
  add('lm_head', 96, hidden);
  const config = { ...fixture.config, num_local_experts: experts, hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 96, head_dim: hidden / 4, tie_word_embeddings: false };
  return { ...fixture, config, checkpoint: { tensors, metadata: new Map() } };
}
