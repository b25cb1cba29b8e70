/** Which layers of a teacher its student begins with. */
import { PenjingError } from '@penjing/core';

/**
 * - `even`: evenly spaced, the first and the last among them: of 12 layers 0, 2, 4, 7, 9, 11 are the six of DistilBERT (Sanh et al. 2019, arXiv:1910.01108).
 * - `first`: the first ones.
 * - `outer`: the first ones and the last, since the deepest layers but the last change the least (Gromov et al. 2024, arXiv:2403.17887); so do the models that Minitron cut in depth.
 */
export type LayerChoice = 'even' | 'first' | 'outer';

const choices: Readonly<Record<LayerChoice, (of: number, count: number) => readonly number[]>> = {
  // Halves are rounded to the even number, which gives DistilBERT's seventh layer and not its sixth.
  even: (of, count) => (count === 1 ? [0] : range(count).map((i) => Math.round((i * (of - 1)) / (count - 1)))),
  first: (_, count) => range(count),
  outer: (of, count) => [...range(count - 1), of - 1],
};

const range = (length: number): number[] => [...Array(length).keys()];

/** `count` of `of` layers, from 0, ascending. Throws `E_OPTION` unless 1 ≤ count ≤ of. */
export function chooseLayers(of: number, count: number, choice: LayerChoice = 'even'): readonly number[] {
  if (!Number.isInteger(count) || count < 1 || count > of) throw new PenjingError('E_OPTION', `${count} of ${of} layers cannot be kept`, { hint: `Keep 1 to ${of}.` });
  return choices[choice](of, count);
}

const SHARES: Readonly<Record<string, number>> = { half: 1 / 2, third: 1 / 3, quarter: 1 / 4 };

/**
 * Reads a map: `half`, `third`, `quarter` or a number of layers, after `even:` (which may be left out), `first:` or `outer:`; or the layers themselves, counted from 0: `0,2,4`, which
 * may say how many the teacher has: `12:0,2,4`. Throws `E_OPTION` for anything else, and for layers that the teacher does not have.
 */
export function layerMap(text: string, of: number): readonly number[] {
  const [, choice, rest = text] = /^(even|first|outer):(.*)$/.exec(text) ?? [];
  const share = SHARES[rest];
  if (share !== undefined) return chooseLayers(of, Math.max(1, Math.round(share * of)), choice as LayerChoice | undefined);
  if (/^\d{1,6}$/.test(rest)) return chooseLayers(of, Number(rest), choice as LayerChoice | undefined);
  const [, count, list] = (choice === undefined && /^(?:(\d{1,6}):)?(\d{1,6}(?:,\d{1,6})+|\d{1,6})$/.exec(text)) || [];
  if (list === undefined) throw new PenjingError('E_OPTION', `${text} is no map of layers`, { hint: 'Give half, a number of layers, outer:4, or the layers: 0,2,4.' });
  if (count !== undefined && Number(count) !== of) throw new PenjingError('E_OPTION', `${text} is for ${count} layers, the model has ${of}`);
  return list.split(',').map(Number);
}

/** Throws `E_OPTION` unless they are some of `of` layers, ascending. */
export function checkLayers(keep: readonly number[], of: number): void {
  const wrong = keep.find((layer, i) => !Number.isInteger(layer) || layer < 0 || layer >= of || (i > 0 && layer <= keep[i - 1]!));
  if (keep.length === 0 || wrong !== undefined) {
    throw new PenjingError('E_OPTION', keep.length === 0 ? 'a student without layers' : `layer ${wrong} has no place in the map ${keep.join(',')} of a model of ${of} layers`, { hint: `Layers are counted from 0 to ${of - 1}, each once, in order.` });
  }
}
