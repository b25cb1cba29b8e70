/** Which layers of a GGUF model have windows, and which of a config llama.cpp can have. */
import { slidingLayers } from '../hf/decoder/windows.js';
import type { Fields } from '../hf/fields.js';
import type { JsonObject } from '../hf/folder.js';
import type { GgufFields } from './fields.js';

/** `layer_types` of a config: what the file says of each layer, or all but every `period`th have one, `usual` when it is not said. */
export function layerTypes(fields: GgufFields, layers: number, usual: number): JsonObject {
  const value = fields.metadata.get(fields.key(PATTERN));
  const given = Array.isArray(value) && value.length === layers && value.every((near) => typeof near === 'boolean') ? (value as readonly boolean[]) : undefined;
  const period = given ? usual : (fields.number(PATTERN) ?? usual);
  const near = given ?? Array.from({ length: layers }, (_, i) => (i + 1) % period !== 0);
  return { layer_types: near.map((own) => (own ? 'sliding_attention' : 'full_attention')) };
}

const PATTERN = 'attention.sliding_window_pattern';

/** Throws `E_CONFIG` unless all but every `period`th layer have a window, which a file does not say; `usual` is what the config means without a list. */
export function onlyPeriod(config: Fields, layers: number, period: number, family: string, usual = period): void {
  const near = slidingLayers(config, layers, (i) => (i + 1) % usual !== 0);
  if (near.some((own, i) => own !== ((i + 1) % period !== 0))) throw config.wrong('layer_types', `a window in all but every ${period}th layer: llama.cpp knows no other ${family}`);
}
