/** Arithmetic on symbolic dimensions: sums of products of symbols, kept in one canonical text form (`past + 2*seq - 1`). */
import type { Dim } from '../shape.js';

/** Coefficients by monomial; a monomial is its symbols, sorted, joined by `*`, and '' is the constant. */
type Polynomial = Map<string, number>;

/** Longer results become unknown: a dimension nobody can read helps nobody. */
const MAX_TERMS = 8;

const TOKEN = /\s*(?:(\d+)|([A-Za-z_][\w.]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?)|([-+*]))\s*/y;

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === null || b === null) return null;
  const sum = new Map(parse(a));
  for (const [monomial, factor] of parse(b)) sum.set(monomial, (sum.get(monomial) ?? 0) + factor);
  return format(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (a === 0 || b === 0) return 0;
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === null || b === null) return null;
  const product: Polynomial = new Map();
  for (const [x, m] of parse(a)) {
    for (const [y, n] of parse(b)) {
      const monomial = [...symbols(x), ...symbols(y)].sort().join('*');
      product.set(monomial, (product.get(monomial) ?? 0) + m * n);
    }
  }
  return format(product);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, multiplyDims(b, -1));
}

/** The quotient rounded down; `floor(a/b)` when it does not come out even. */
export function floorDivideDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return b === 0 ? null : Math.floor(a / b);
  if (a === null || b === null) return null;
  return exactQuotient(a, b) ?? (typeof b === 'number' && b > 0 ? `floor((${a})/${b})` : null);
}

/** a / b when b divides every term of a; undefined otherwise. */
export function exactQuotient(a: Dim, b: Dim): Dim | undefined {
  if (a === null || b === null || b === 0) return undefined;
  if (sameDim(a, b)) return 1;
  const divisor = [...parse(b)];
  if (divisor.length !== 1) return undefined;
  const [under, factor] = divisor[0]!;
  const quotient: Polynomial = new Map();
  for (const [monomial, coefficient] of parse(a)) {
    const left = symbols(monomial);
    for (const symbol of symbols(under)) {
      const at = left.indexOf(symbol);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    if (coefficient % factor !== 0) return undefined;
    quotient.set(left.join('*'), coefficient / factor);
  }
  return format(quotient);
}

export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** True when both are known to be equal, in whatever form they are written. */
export function sameDim(a: Dim, b: Dim): boolean {
  return a !== null && (a === b || (typeof a === 'string' && typeof b === 'string' && format(parse(a)) === format(parse(b))));
}

/** Known to be equal, dimension by dimension. */
export function sameDims(a: readonly Dim[] | undefined, b: readonly Dim[] | undefined): boolean {
  return a !== undefined && b?.length === a.length && a.every((dim, i) => sameDim(dim, b[i]!));
}

/** False when the two cannot be the same size. */
export function compatible(a: Dim, b: Dim): boolean {
  return typeof a !== 'number' || typeof b !== 'number' || a === b;
}

/** The more exact of two descriptions of one dimension: a number over a symbol over nothing. */
export function mergeDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' || b === null) return a;
  return typeof b === 'number' || a === null ? b : a;
}

/** The size that broadcasts a and b; undefined when they cannot. */
export function broadcastDims(a: Dim, b: Dim): Dim | undefined {
  if (a === 1) return b;
  if (b === 1) return a;
  if (typeof a === 'number') return typeof b !== 'number' || a === b ? a : undefined;
  if (typeof b === 'number') return b;
  if (a === null || b === null) return null;
  if (sameDim(a, b)) return a;
  // A computed size that meets a named one is that size under another name (`past + seq` and `total`), unless it is 1.
  const [left, right] = [isSum(a), isSum(b)];
  return left === right ? null : left ? a : b;
}

function isSum(dim: string): boolean {
  return (parseTerms(dim)?.size ?? 0) > 1;
}

/** The shape that broadcasts all shapes; undefined when a rank is unknown or they do not broadcast. */
export function broadcastAll(shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined {
  let out: Dim[] = [];
  for (const shape of shapes) {
    if (!shape) return undefined;
    const rank = Math.max(out.length, shape.length);
    const next: Dim[] = [];
    for (let i = 0; i < rank; i++) {
      const dim = broadcastDims(at(out, i - rank), at(shape, i - rank));
      if (dim === undefined) return undefined;
      next.push(dim);
    }
    out = next;
  }
  return out;
}

/** Element `index` from the end (negative); 1 where the shape is shorter. */
function at(shape: readonly Dim[], index: number): Dim {
  const position = shape.length + index;
  return position < 0 ? 1 : shape[position]!;
}

const symbols = (monomial: string): string[] => (monomial === '' ? [] : monomial.split('*'));

/** A dimension that is not a sum of products is one symbol of its own. */
function parse(dim: number | string): Polynomial {
  if (typeof dim === 'number') return new Map(dim === 0 ? [] : [['', dim]]);
  return parseTerms(dim) ?? new Map([[dim, 1]]);
}

function parseTerms(text: string): Polynomial | undefined {
  const terms: Polynomial = new Map();
  let factor = 1;
  let names: string[] = [];
  let wanted = true;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    if (!match) return undefined;
    const [, number, name, sign] = match;
    if (sign === undefined) {
      if (!wanted) return undefined;
      if (number !== undefined) factor *= Number(number);
      else names.push(name!);
      wanted = false;
    } else {
      const leading = wanted && names.length === 0 && terms.size === 0 && sign === '-' && factor === 1;
      if (wanted && !leading) return undefined;
      if (sign === '*') {
        wanted = true;
        continue;
      }
      if (!leading) addTerm(terms, names, factor);
      factor = sign === '-' ? -1 : 1;
      names = [];
      wanted = true;
    }
  }
  if (wanted) return undefined;
  addTerm(terms, names, factor);
  return terms;
}

function addTerm(terms: Polynomial, names: string[], factor: number): void {
  const monomial = names.sort().join('*');
  terms.set(monomial, (terms.get(monomial) ?? 0) + factor);
}

function format(terms: Polynomial): Dim {
  const parts = [...terms].filter(([, factor]) => factor !== 0);
  if (parts.length > MAX_TERMS) return null;
  // Symbols in order, positive terms first, the constant last.
  parts.sort(([x, m], [y, n]) => rank(x, m) - rank(y, n) || (x < y ? -1 : 1));
  if (parts.length === 0) return 0;
  if (parts.length === 1 && parts[0]![0] === '') return parts[0]![1];
  return parts.map(([monomial, factor], index) => {
    const size = Math.abs(factor);
    const text = monomial === '' ? String(size) : size === 1 ? monomial : `${size}*${monomial}`;
    if (index === 0) return factor < 0 ? `-${text}` : text;
    return factor < 0 ? ` - ${text}` : ` + ${text}`;
  }).join('');
}

function rank(monomial: string, factor: number): number {
  return monomial === '' ? 2 : factor < 0 ? 1 : 0;
}
