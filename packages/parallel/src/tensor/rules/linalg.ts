/** Sharding rules of matrix products: by columns every shard has part of the result, by rows a term of the sum. */
import { broadcastPlace, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, way, type Way } from '../rule.js';

interface Product {
  /** Inputs. */
  readonly a: number;
  readonly b: number;
  readonly turnA?: boolean;
  readonly turnB?: boolean;
  /** Per column of b, where they are no scalars: biases, scales. */
  readonly columns?: readonly number[];
  /** No sum over shards: what follows in the same operator is not linear. */
  readonly noRows?: boolean;
  /** One scale for all of a. */
  readonly wholeA?: boolean;
  /** Counts once in a sum over shards. */
  readonly once?: readonly number[];
}

/** (…, m, k) · (…, k, n). */
function productWays(c: ShardingContext, { a, b, turnA = false, turnB = false, columns = [], noRows = false, wholeA = false, once = [] }: Product): Way[] {
  const [left, right, out] = [c.shape(a), c.shape(b), c.outputShape()];
  if (!left || !right || !out || left.length < 2 || right.length < 2) return [];
  const [row, innerA] = turnA ? [-1, -2] : [-2, -1];
  const [innerB, column] = turnB ? [-1, -2] : [-2, -1];
  const width = slot(right, column);
  const perColumn = Object.fromEntries(columns.filter((i) => c.has(i)).map((i) => [i, width && broadcastPlace(c.shape(i), 1, 0, width.size)]));
  const byColumns = way(places(c.inputCount, { [b]: width, ...perColumn }), [slot(out, -1)], { weight: b });
  const byRows = noRows ? [] : way(places(c.inputCount, { [a]: slot(left, innerA), [b]: slot(right, innerB) }), ['partial'], { weight: b, once: once.filter((i) => c.has(i)) });
  if (wholeA) return byColumns;
  const rows = way(places(c.inputCount, { [a]: slot(left, row) }), [slot(out, -2)]);
  const batches = out.slice(0, -2).flatMap((size, axis) => {
    if (typeof size !== 'number' || size <= 1) return [];
    return way(places(c.inputCount, { [a]: broadcastPlace(left, out.length, axis, size), [b]: broadcastPlace(right, out.length, axis, size) }), [{ axis, size }]);
  });
  return [...byColumns, ...byRows, ...rows, ...batches];
}

const gemm = (noRows: boolean): ShardingRule => (c) => {
  const [a, b, out, bias] = [c.shape(0), c.shape(1), c.outputShape(), c.shape(2)];
  if (!a || !b || !out) return [];
  const [turnA, turnB] = [c.node.int('transA', 0) === 1, c.node.int('transB', 0) === 1];
  const width = slot(b, turnB ? 0 : 1);
  const beside = c.has(2) ? { 2: width && broadcastPlace(bias, 2, 1, width.size) } : {};
  return [
    ...way(places(c.inputCount, { 1: width, ...beside }), [slot(out, 1)], { weight: 1 }),
    ...(noRows ? [] : way(places(c.inputCount, { 0: slot(a, turnA ? 0 : 1), 1: slot(b, turnB ? 1 : 0) }), ['partial'], { weight: 1, once: c.has(2) ? [2] : [] })),
  ];
};

/** Every letter is a dimension; one that is not in the result is summed over. */
const einsum: ShardingRule = (c) => {
  const [inputs = '', output] = c.node.string('equation', '').replaceAll(' ', '').split('->');
  const terms = inputs.split(',');
  if (output === undefined || inputs.includes('.') || terms.length !== c.inputCount || [...terms, output].some((term) => new Set(term).size !== term.length)) return [];
  return [...new Set(inputs.replaceAll(',', ''))].flatMap((letter) => {
    const at = terms.map((term, i) => (term.includes(letter) ? slot(c.shape(i), term.indexOf(letter)) : null));
    const weight = terms.findIndex((term, i) => term.includes(letter) && c.constant(i));
    return way(at, [output.includes(letter) ? slot(c.outputShape(), output.indexOf(letter)) : 'partial'], weight >= 0 ? { weight } : {});
  });
};

const fused: ShardingRule = (c) => {
  if (c.node.int('transBatchA', 0) || c.node.int('transBatchB', 0)) return [];
  return productWays(c, { a: 0, b: 1, turnA: c.node.int('transA', 0) === 1, turnB: c.node.int('transB', 0) === 1 });
};

export const linalgRules = {
  MatMul: (c) => productWays(c, { a: 0, b: 1 }),
  Gemm: gemm(false),
  Einsum: einsum,
  'com.microsoft.FusedMatMul': fused,
  'com.microsoft.TransposeMatMul': fused,
  'com.microsoft.FusedGemm': gemm(true),
  'com.microsoft.GemmFastGelu': (c) => productWays(c, { a: 0, b: 1, columns: [2], noRows: true }),
  // sums of whole numbers, exact in any order
  MatMulInteger: (c) => productWays(c, { a: 0, b: 1, columns: [3], noRows: c.has(2) && c.shape(2)?.length !== 0 }),
  QLinearMatMul: (c) => productWays(c, { a: 0, b: 3, columns: [4, 5], noRows: true }),
  'com.microsoft.DynamicQuantizeMatMul': (c) => productWays(c, { a: 0, b: 1, columns: [2, 3, 4], wholeA: true }),
  'com.microsoft.MatMulIntegerToFloat': (c) => productWays(c, { a: 0, b: 1, columns: [3, 5, 6], noRows: c.has(4) && c.shape(4)?.length !== 0, once: [6] }),
  'com.microsoft.MatMulNBits'(c) {
    const [rows, cols, block, bits] = [c.node.int('N', 0), c.node.int('K', 0), c.node.int('block_size', 0), c.node.int('bits', 4)];
    const x = c.shape(0);
    if (!x || rows < 2 || block < 1 || c.node.int('weight_prepacked', 0) !== 0) return [];
    const blocks = Math.ceil(cols / block);
    const bias = c.has(5) ? { 5: slot(c.shape(5), 0) } : {};
    // (rows, blocks, bytes of a block), scales (rows, blocks) and zero points (rows, blocks or their bytes), flat or not
    const perRow = (i: number): Readonly<Record<number, ReturnType<typeof slot>>> => (c.has(i) ? { [i]: slot(c.shape(i), 0) } : {});
    const byColumns = way(places(c.inputCount, { 1: slot(c.shape(1), 0), ...perRow(2), ...perRow(3), ...bias }), [slot(c.outputShape(), -1)], { weight: 1, size: rows, units: rows, attributes: ({ of }) => ({ N: of(rows) }) });
    const inRow = (i: number, width: number): Readonly<Record<number, { axis: number; size: number; view: number[] }>> => (c.has(i) ? { [i]: { axis: 1, size: width, view: [rows, width] } } : {});
    const zeroBytes = c.dtype(3) === 'uint8' ? Math.ceil((blocks * bits) / 8) : blocks;
    const whole = cols % block === 0 && blocks > 1 && !c.has(4) && (!c.has(3) || (blocks * bits) % 8 === 0 || c.dtype(3) !== 'uint8');
    const byRows = whole
      ? way(places(c.inputCount, { 0: slot(x, -1), 1: slot(c.shape(1), 1), ...inRow(2, blocks), ...inRow(3, zeroBytes) }), ['partial'], { weight: 1, size: cols, units: blocks, once: c.has(5) ? [5] : [], attributes: ({ of }) => ({ K: of(cols) }) })
      : [];
    return [...byColumns, ...byRows];
  },
} satisfies ShardingRules;
