/** What `--data` names, whatever its format: a number of items that can be read one by one. */
import type { DenseTensor } from '@penjing/core';

/** Rows of pixels from the top, channels last: 1 (grey), 3 (RGB). */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** One channel, −1 to 1. */
export interface Sound {
  /** Samples per second. */
  readonly rate: number;
  readonly samples: Float32Array;
}

export type DataItem = DataContent & {
  /** Class, counted from 0. */
  readonly label?: number;
};

export type DataContent =
  | { readonly kind: 'text'; readonly text: string }
  /** Two texts that mean the same, or as much the same as `score` says. */
  | { readonly kind: 'pair'; readonly texts: readonly [string, string]; readonly score?: number }
  /** By input name; the only array of a file without names has the name ''. Numbered ones ('0', '1') are the inputs in order. */
  | { readonly kind: 'tensors'; readonly tensors: ReadonlyMap<string, DenseTensor> }
  | { readonly kind: 'picture'; readonly picture: Picture }
  | { readonly kind: 'sound'; readonly sound: Sound };

export interface DataSource extends AsyncDisposable {
  /** As in "npz". */
  readonly format: string;
  readonly count: number;
  /** Of the content: changes whenever what `item` gives may change. */
  readonly hash: string;
  /** Every item has a label. */
  readonly labelled: boolean;
  /** Names of the classes, where the data has names. */
  readonly classes: readonly string[] | undefined;
  /** Throws `E_DATA` for an item that is not what the format says, naming it. */
  item(index: number): Promise<DataItem>;
}

/** A source without labels over nothing that has to be closed. */
export function dataSource(source: Pick<DataSource, 'format' | 'count' | 'hash' | 'item'> & Partial<DataSource>): DataSource {
  return { labelled: false, classes: undefined, [Symbol.asyncDispose]: async () => {}, ...source };
}

/** Labels as they are written, to numbers: whole numbers stay what they are, names are counted in order of the alphabet. */
export function numberLabels(labels: readonly string[]): { readonly numbers: readonly number[]; readonly classes: readonly string[] | undefined } {
  if (labels.every((label) => /^\d{1,9}$/.test(label))) return { numbers: labels.map(Number), classes: undefined };
  const classes = [...new Set(labels)].sort();
  const index = new Map(classes.map((name, i) => [name, i]));
  return { numbers: labels.map((label) => index.get(label)!), classes };
}
