/** The fields of a config that give the sizes of BART's encoder and decoder, and of those that copied them. */
import { type Fields, MAX_LAYERS } from '../fields.js';
import type { BartSide } from './bart.js';

/** Throws `E_CONFIG` when heads do not divide `hidden`, the config's d_model. */
export function readSide(config: Fields, name: 'encoder' | 'decoder', hidden: number, defaults: BartSide = WHISPER): BartSide {
  const heads = config.size(`${name}_attention_heads`, defaults.heads);
  if (hidden % heads !== 0) throw config.wrong('d_model', `a multiple of ${name}_attention_heads ${heads}`);
  return { layers: config.size(`${name}_layers`, defaults.layers, MAX_LAYERS), heads, intermediate: config.size(`${name}_ffn_dim`, defaults.intermediate) };
}

const WHISPER: BartSide = { layers: 4, heads: 6, intermediate: 1536 };
