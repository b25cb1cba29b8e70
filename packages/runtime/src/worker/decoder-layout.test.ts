import { describe, expect, test } from 'vitest';
import { decoderLayout, looksLikeDecoder } from './decoder-layout.js';
import type { SessionValue } from './wire-types.js';

const value = (name: string, shape: SessionValue['shape'] = ['b', 's'], dtype: NonNullable<SessionValue['dtype']> = 'int64'): SessionValue => ({ name, dtype, shape });
const ids = value('input_ids');
const logits = value('logits', ['b', 's', 32], 'float32');
const past = (name: string): SessionValue => value(`past_key_values.${name}`, ['b', 4, 'past', 8], 'float32');
const present = (name: string): SessionValue => value(`present.${name}`, ['b', 4, 'total', 8], 'float32');
const refused = (why: string): Error => expect.objectContaining({ code: 'E_LAYOUT', message: expect.stringContaining(why) as string }) as Error;

describe('decoder layout', () => {
  test('caches, optional inputs and the vocabulary are found', () => {
    const layout = decoderLayout([ids, value('attention_mask'), past('0.key'), past('0.value')], [logits, present('0.key'), present('0.value')]);
    expect(layout.cache).toEqual([
      { past: 'past_key_values.0.key', present: 'present.0.key', dtype: 'float32', heads: 4, headDim: 8 },
      { past: 'past_key_values.0.value', present: 'present.0.value', dtype: 'float32', heads: 4, headDim: 8 },
    ]);
    expect([...layout.optional]).toEqual(['attention_mask']);
    expect(layout.fetches).toEqual(['logits', 'present.0.key', 'present.0.value']);
    expect(layout.vocabSize).toBe(32);
  });

  test('a classifier over token ids is no decoder for certain', () => {
    expect(looksLikeDecoder([ids], [logits])).toBe(false);
    expect(looksLikeDecoder([ids, past('0.key')], [logits])).toBe(true);
  });

  test('what does not fit is named', () => {
    expect(() => decoderLayout([value('pixel_values')], [logits])).toThrow(refused('pixel_values'));
    expect(() => decoderLayout([ids, past('0.key')], [logits])).toThrow(refused('present.0.key'));
    expect(() => decoderLayout([ids, value('past_key_values.0.key', ['b', 'h', 'p', 8], 'float32')], [logits, present('0.key')])).toThrow(refused('fixed heads'));
    expect(() => decoderLayout([ids, value('past_key_values.0.key', ['b', 4, 'p', 8], 'int8')], [logits, present('0.key')])).toThrow(refused('int8'));
    expect(() => decoderLayout([ids, value('beam_idx')], [logits])).toThrow(refused('beam_idx'));
  });
});
