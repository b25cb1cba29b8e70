/** Sizes that torch.export writes as expressions of symbols. */
import type { Dim } from '@penjing/core';
import { isObject } from '../../safetensors/unique-json.js';

const SYMBOL = /^(?:Symbol\('([A-Za-z_]\w*)'(?:, \w+=\w+)*\)|([A-Za-z_]\w*))$/;

/** A number, the name of a symbol, or null for an expression, which shape inference works out again. */
export function dimOf(size: unknown): Dim {
  if (!isObject(size)) return null;
  const { as_int: number, as_expr: expression } = size;
  if (Number.isSafeInteger(number) && (number as number) >= 0) return number as number;
  const text = isObject(expression) ? expression['expr_str'] : undefined;
  if (typeof text !== 'string' || text.length > 200) return null;
  const match = SYMBOL.exec(text);
  return match ? (match[1] ?? match[2]!) : null;
}

/**
 * Readable names: `batch` for a size that is the first of every input it occurs in, otherwise the input and the axis.
 * torch keeps no names of its own.
 */
export function nameSymbols(inputs: readonly { readonly name: string; readonly shape: readonly Dim[] }[]): ReadonlyMap<string, string> {
  const places = new Map<string, { name: string; axis: number }[]>();
  for (const { name, shape } of inputs) {
    for (const [axis, dim] of shape.entries()) {
      if (typeof dim !== 'string') continue;
      const known = places.get(dim);
      if (known) known.push({ name, axis });
      else places.set(dim, [{ name, axis }]);
    }
  }
  const batches = [...places].filter(([, where]) => where.every(({ axis }) => axis === 0));
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const [symbol, where] of places) {
    const { name, axis } = where[0]!;
    const wanted = batches.length === 1 && batches[0]![0] === symbol ? 'batch' : `${name}_dim${axis}`;
    let own = wanted;
    for (let i = 1; taken.has(own); i++) own = `${wanted}_${i}`;
    taken.add(own);
    names.set(symbol, own);
  }
  return names;
}
