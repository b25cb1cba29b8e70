/** One row of the ATen table: a signature in PyTorch's notation and the function that builds its ONNX form. */
import type { AtenContext } from './context.js';
import { type ArgumentsOf, parseSignature, type Signature } from './signature.js';
import type { AtenResult } from './values.js';

export interface AtenRow {
  readonly signature: Signature;
  /** The arguments are bound and checked. */
  readonly build: (context: AtenContext, args: never) => AtenResult;
}

export function row<const S extends string>(signature: S, build: (context: AtenContext, args: ArgumentsOf<S>) => AtenResult): AtenRow {
  let parsed: Signature | undefined;
  return {
    // hundreds of rows are made on loading, and most runs need none
    get signature() {
      return (parsed ??= parseSignature(signature));
    },
    build,
  };
}

/** Rows that differ in one thing only, made from a table. */
export function rowsOf<T>(table: Readonly<Record<string, T>>, make: (name: string, entry: T) => AtenRow): AtenRow[] {
  return Object.entries(table).map(([name, entry]) => make(name, entry));
}
