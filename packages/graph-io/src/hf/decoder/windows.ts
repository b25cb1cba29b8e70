/** Which layers see only the last tokens, and how many: the ways that configs say it. */
import type { Fields } from '../fields.js';

/** Tokens that each layer sees; undefined sees all. */
export type Windows = (config: Fields, layers: number) => readonly (number | undefined)[];

export const noWindows: Windows = (_, layers) => new Array<undefined>(layers).fill(undefined);

/** The same in every layer, by `sliding_window`; `usual` where nothing is said, none where it is null. */
export function sameWindow(usual?: number): Windows {
  return (config, layers) => new Array<number | undefined>(layers).fill(windowOf(config, usual));
}

/** In the layers that `layer_types` names, or those that `near` is true of where there is no such list. */
export function windowsWhere(near: (index: number, config: Fields, layers: number) => boolean, usual?: number): Windows {
  return (config, layers) => {
    const window = windowOf(config, usual);
    return slidingLayers(config, layers, (index) => near(index, config, layers)).map((sliding) => (sliding ? window : undefined));
  };
}

/** The same, in configs that must ask for windows by `use_sliding_window`. */
export function windowsOnDemand(windows: Windows): Windows {
  return (config, layers) => (config.boolean('use_sliding_window', false) ? windows : noWindows)(config, layers);
}

function windowOf(config: Fields, usual?: number): number | undefined {
  return config.nullable('sliding_window', (name) => config.size(name), usual);
}

const layerTypes = { full_attention: false, sliding_attention: true } as const;
type LayerType = keyof typeof layerTypes;
const isLayerType = (item: unknown): item is LayerType => typeof item === 'string' && Object.hasOwn(layerTypes, item);

/** Which layers have a window: as `layer_types` says, or `usual` where the config has no such list. */
export function slidingLayers(config: Fields, layers: number, usual: (index: number) => boolean): readonly boolean[] {
  const types = config.perLayer('layer_types', layers, isLayerType, `names out of ${Object.keys(layerTypes).join(', ')}`);
  return types?.map((type) => layerTypes[type]) ?? Array.from({ length: layers }, (_, i) => usual(i));
}
