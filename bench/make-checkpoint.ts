/** Writes a synthetic, sharded bf16 Llama checkpoint of a given size: seeded, fast, in the layout of Hugging Face. */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRng, lazy, type Tensor } from '@penjing/core';
import { type FileLayout, safetensorsLayout } from '@penjing/graph-io';

export interface LlamaShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly vocabulary: number;
}

/** By size in GB (10^9 bytes) of the bf16 weights. */
export const shapes: Readonly<Record<string, LlamaShape>> = {
  0.2: { hidden: 768, intermediate: 2048, layers: 12, heads: 12, keyValueHeads: 4, vocabulary: 8192 },
  0.8: { hidden: 2048, intermediate: 8192, layers: 5, heads: 32, keyValueHeads: 8, vocabulary: 32000 },
  0.9: { hidden: 1024, intermediate: 4096, layers: 24, heads: 16, keyValueHeads: 8, vocabulary: 32000 },
  2: { hidden: 2048, intermediate: 8192, layers: 14, heads: 32, keyValueHeads: 8, vocabulary: 32000 },
  6: { hidden: 2560, intermediate: 10240, layers: 30, heads: 32, keyValueHeads: 8, vocabulary: 32000 },
  8: { hidden: 4096, intermediate: 14336, layers: 17, heads: 32, keyValueHeads: 8, vocabulary: 32000 },
  24: { hidden: 5120, intermediate: 13824, layers: 42, heads: 40, keyValueHeads: 8, vocabulary: 32000 },
};

/** Weights that repeat after this many values, at another phase in every tensor. */
const PERIOD = 1 << 24;
const SHARD_BYTES = 4.9e9;

/** Gives the bytes written. */
export async function makeCheckpoint(folder: string, size: string, seed = 1): Promise<number> {
  const shape = shapes[size];
  if (!shape) throw new Error(`no shape for ${size} GB: ${Object.keys(shapes).join(', ')}`);
  await mkdir(folder, { recursive: true });
  const layouts = safetensorsLayout({ tensors: tensorsOf(shape), metadata: new Map([['format', 'pt']]) }, { shardBytes: SHARD_BYTES });
  const values = randomWeights(seed);
  let bytes = 0;
  for (const [i, layout] of layouts.entries()) {
    await writeShard(folder, layout, values, i * 9973);
    bytes += layout.size;
  }
  await writeFile(join(folder, 'config.json'), JSON.stringify(configOf(shape), undefined, 2));
  return bytes;
}

function tensorsOf({ hidden, intermediate, layers, heads, keyValueHeads, vocabulary }: LlamaShape): Map<string, Tensor> {
  const keyValue = (hidden / heads) * keyValueHeads;
  const tensors = new Map<string, Tensor>();
  const add = (name: string, ...shape: number[]): void => void tensors.set(`${name}.weight`, lazy.fill('bfloat16', shape, 0));
  add('model.embed_tokens', vocabulary, hidden);
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`;
    add(`${layer}.input_layernorm`, hidden);
    add(`${layer}.self_attn.q_proj`, hidden, hidden);
    add(`${layer}.self_attn.k_proj`, keyValue, hidden);
    add(`${layer}.self_attn.v_proj`, keyValue, hidden);
    add(`${layer}.self_attn.o_proj`, hidden, hidden);
    add(`${layer}.post_attention_layernorm`, hidden);
    add(`${layer}.mlp.gate_proj`, intermediate, hidden);
    add(`${layer}.mlp.up_proj`, intermediate, hidden);
    add(`${layer}.mlp.down_proj`, hidden, intermediate);
  }
  add('model.norm', hidden);
  add('lm_head', vocabulary, hidden);
  return tensors;
}

/** Normal, standard deviation 0.02, as freshly initialised weights are. */
function randomWeights(seed: number): Buffer {
  const rng = createRng(seed);
  const floats = new Float32Array(1 << 16);
  const words = new Uint32Array(floats.buffer);
  const values = new Uint16Array(PERIOD);
  for (let at = 0; at < PERIOD; at += floats.length) {
    // One block is drawn, the others are the same numbers in another order: drawing 16 M normals takes seconds.
    if (at === 0) for (let i = 0; i < floats.length; i++) floats[i] = 0.02 * rng.normal();
    const start = rng.below(floats.length);
    const flip = rng.below(2) << 15;
    for (let i = 0; i < floats.length; i++) values[at + i] = (words[(i * 7919 + start) % floats.length]! >>> 16) ^ flip;
  }
  return Buffer.from(values.buffer);
}

async function writeShard(folder: string, { name, pieces, size }: FileLayout, values: Buffer, phase: number): Promise<void> {
  const file = await open(join(folder, name), 'w');
  try {
    for (const piece of pieces) {
      if (piece.kind === 'bytes') {
        await file.write(piece.bytes, 0, piece.bytes.byteLength, piece.offset);
        continue;
      }
      if (piece.kind !== 'tensor') continue;
      const end = piece.offset + piece.tensor.byteLength;
      for (let at = piece.offset; at < end; ) {
        const from = ((at / 2 + phase) % PERIOD) * 2;
        const length = Math.min(end - at, values.byteLength - from);
        await file.write(values, from, length, at);
        at += length;
      }
    }
    await file.truncate(size);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function configOf(shape: LlamaShape): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', torch_dtype: 'bfloat16', tie_word_embeddings: false,
    hidden_size: shape.hidden, intermediate_size: shape.intermediate, num_hidden_layers: shape.layers, num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads, vocab_size: shape.vocabulary, max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000,
    bos_token_id: 1, eos_token_id: 2,
  };
}

if (process.argv[1]?.endsWith('make-checkpoint.ts')) {
  const { values } = parseArgs({ options: { size: { type: 'string', default: '2' }, out: { type: 'string' }, seed: { type: 'string', default: '1' } } });
  const started = performance.now();
  const bytes = await makeCheckpoint(values.out!, values.size, Number(values.seed));
  console.log(`${(bytes / 1e9).toFixed(2)} GB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
