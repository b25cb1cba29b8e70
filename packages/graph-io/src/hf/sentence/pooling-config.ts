/** How a folder of sentence-transformers says that states of tokens become one: config.json of its Pooling module. */
import { Fields } from '../fields.js';
import type { JsonObject } from '../folder.js';
import { type PoolingMode, poolingModes, type PoolingShape } from './pooling.js';

/** In the order in which several are put side by side. */
const FLAGS: Readonly<Record<string, PoolingMode>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

/** `pooling_mode`, one or a list of them, or the flags of releases before 5.3. `where` names the file. Throws `E_CONFIG` for anything else. */
export function readPooling(values: JsonObject, where: string): PoolingShape {
  const config = new Fields(values, where);
  const promptInput = !config.boolean('include_prompt', true);
  const given = config.get('pooling_mode');
  if (given === undefined) {
    const modes = Object.entries(FLAGS).filter(([flag]) => config.boolean(flag, false)).map(([, mode]) => mode);
    return { modes: modes.length > 0 ? modes : ['mean'], promptInput };
  }
  const list = (Array.isArray(given) ? given : [given]) as readonly unknown[];
  const known = (mode: unknown): mode is PoolingMode => typeof mode === 'string' && Object.hasOwn(poolingModes, mode);
  if (list.length === 0 || list.length > Object.keys(poolingModes).length || !list.every(known)) {
    throw config.wrong('pooling_mode', `one or several of ${Object.keys(poolingModes).join(', ')}`);
  }
  return { modes: list, promptInput };
}
