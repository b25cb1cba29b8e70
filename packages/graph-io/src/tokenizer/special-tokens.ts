/** What tokenizer_config.json says of special tokens: a token is a string or an object with flags. */
import { isObject, type JsonObject } from '../hf/folder.js';
import type { AddedToken, SpecialToken } from './tokenizer-json.js';

/** The text of `bos_token` and its kin; undefined when there is none. */
export function tokenText(value: unknown): string | undefined {
  const text = isObject(value) ? value['content'] : value;
  return typeof text === 'string' && text !== '' ? text : undefined;
}

/** `added_tokens_decoder`, by id; entries that are no tokens are left out. */
export function addedTokensOf(config: JsonObject, ids: number): AddedToken[] {
  const table = config['added_tokens_decoder'];
  if (!isObject(table)) return [];
  return Object.entries(table).flatMap(([key, value]): AddedToken[] => {
    const id = Number(key);
    const content = tokenText(value);
    if (!isObject(value) || content === undefined || !Number.isInteger(id) || id < 0 || id >= ids) return [];
    const flag = (name: string, fallback = false): boolean => (typeof value[name] === 'boolean' ? value[name] : fallback);
    return [{
      id, content, special: flag('special'), lstrip: flag('lstrip'), rstrip: flag('rstrip'), single_word: flag('single_word'), normalized: flag('normalized'),
    }];
  });
}

/** The tokens of `texts` that have an id. */
export function known(ids: ReadonlyMap<string, number>, texts: readonly (string | undefined)[]): SpecialToken[] {
  return texts.flatMap((content) => {
    const id = content === undefined ? undefined : ids.get(content);
    return id === undefined ? [] : [{ id, content: content! }];
  });
}
