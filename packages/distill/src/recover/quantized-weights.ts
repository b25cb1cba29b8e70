/** Quantized weights of a graph: MatMulNBits, GatherBlockQuantized, and DequantizeLinear of a constant. */
import { elementCount, type Graph, type Model, type Node, type Tensor, type Value } from '@penjing/core';
import type { GridLayout } from './grid.js';
import type { CodeForm } from './grid-codes.js';

export interface QuantizedWeight {
  /** Stored codes, scales and zero points: initializers. */
  readonly values: Value;
  readonly scales: Value;
  readonly zeroPoints: Value | undefined;
  readonly form: CodeForm;
  readonly layout: GridLayout;
  /** As floats. */
  readonly shape: readonly number[];
  /** Nodes that compute with it. */
  readonly sites: readonly Node[];
}

export interface LeftQuantized {
  readonly name: string;
  readonly reason: string;
}

type Found = QuantizedWeight | LeftQuantized;

/** Of the main graph; of weights that cannot be opened, why. */
export function quantizedWeights(graph: Graph): { readonly weights: readonly QuantizedWeight[]; readonly left: readonly LeftQuantized[] } {
  const blocks = new Map<Value, Node[]>();
  const found: Found[] = [];
  for (const node of graph.nodes()) {
    if (node.domain === 'com.microsoft' && (node.opType === 'MatMulNBits' || node.opType === 'GatherBlockQuantized')) {
      const values = storedValue(node.input(node.opType === 'MatMulNBits' ? 1 : 0));
      if (values) blocks.set(values, [...(blocks.get(values) ?? []), node]);
    } else if (node.domain === '' && node.opType === 'DequantizeLinear' && node.input(0)?.tensor) found.push(linearWeight(node));
  }
  for (const [values, sites] of blocks) found.push(blockWeight(values, sites));
  return { weights: found.filter((one): one is QuantizedWeight => 'form' in one), left: found.filter((one): one is LeftQuantized => 'reason' in one) };
}

/** Whether `openGrids` finds weights to open. */
export const hasGrids = ({ graph }: Model): boolean => quantizedWeights(graph).weights.length > 0;

/** The initializer, itself or reshaped: a lookup and a product want different shapes of the same bytes. */
function storedValue(value: Value | undefined): Value | undefined {
  if (value?.tensor) return value;
  return value?.producer?.opType === 'Reshape' ? storedValue(value.producer.input(0)) : undefined;
}

function blockWeight(values: Value, sites: readonly Node[]): Found {
  const [first] = sites as [Node, ...Node[]];
  const lookup = sites.some(({ opType }) => opType === 'GatherBlockQuantized');
  const left = (reason: string): LeftQuantized => ({ name: values.name, reason });

  const [scales, zeroPoints] = [first.input(2), first.input(3)];
  const bits = first.int('bits', 4) as 2 | 4 | 8;
  const block = first.int('block_size', 128);
  const product = sites.find(({ opType }) => opType === 'MatMulNBits');
  if (sites.some((node) => node.input(2) !== scales || node.input(3) !== zeroPoints || node.int('bits', 4) !== bits || node.int('block_size', 128) !== block)) return left('its nodes read it with different scales');
  if (![2, 4, 8].includes(bits)) return left(`it has ${bits} bits`);
  if (values.tensor!.dtype !== 'uint8') return left(`its codes are ${values.tensor!.dtype}`);
  if (scales?.tensor?.dtype !== 'float32') return left('its scales are no float32 constants');
  if (scales.uses().some((use) => !sites.includes(use.node))) return left('its scales are shared');
  if (zeroPoints && zeroPoints.tensor?.dtype !== 'uint8') return left('its zero points are no integers');
  if (product?.input(4)) return left('it has g_idx');
  if (sites.some((node) => node.opType === 'GatherBlockQuantized' && (node.int('gather_axis', 0) !== 0 || ![1, -1].includes(node.int('quantize_axis', 1))))) return left('it is looked up along another axis than its rows');
  const rows = product?.int('N') ?? values.tensor!.shape[0]!;
  const cols = product?.int('K') ?? (values.tensor!.shape[1]! * 8) / bits;
  const form = { layout: 'nbits', bits, signed: false, rows, cols, block, turned: !lookup } as const;
  const layout = lookup ? { outer: rows, length: cols, inner: 1, block } : { outer: 1, length: cols, inner: rows, block };
  return { values, scales, zeroPoints, sites, form, layout, shape: lookup ? [rows, cols] : [cols, rows] };
}

const INTEGERS: Readonly<Record<string, { readonly bits: 2 | 4 | 8; readonly signed: boolean }>> = {
  int2: { bits: 2, signed: true }, uint2: { bits: 2, signed: false }, int4: { bits: 4, signed: true }, uint4: { bits: 4, signed: false }, int8: { bits: 8, signed: true }, uint8: { bits: 8, signed: false },
};

/** Why int32 constants stay. */
export const COUNTED = 'it is a bias in units of the scales of a product';

function linearWeight(node: Node): Found {
  const [values, scales, zeroPoints] = [node.input(0)!, node.input(1), node.input(2)];
  const left = (reason: string): LeftQuantized => ({ name: values.name, reason });
  const integer = INTEGERS[values.tensor!.dtype];
  if (!integer) return left(values.tensor!.dtype === 'int32' ? COUNTED : `its codes are ${values.tensor!.dtype}`);
  if (scales?.tensor?.dtype !== 'float32') return left('its scales are no float32 constants');
  if (zeroPoints && !zeroPoints.tensor) return left('its zero points are computed');
  if ([values, scales].some((value) => value.uses().some((use) => use.node !== node))) return left('its codes or scales are shared');
  const { shape } = values.tensor!;
  const layout = layoutOf(shape, scales.tensor, node);
  if (!layout) return left('its channels lie on an axis between others');
  const form = { layout: 'linear', ...integer, rows: 0, cols: 0, block: 0, turned: false } as const;
  return { values, scales, zeroPoints, sites: [node], form, layout, shape };
}

/** Per tensor, per block along an axis, or per channel of the first or last axis. */
function layoutOf(shape: readonly number[], scales: Tensor, node: Node): GridLayout | undefined {
  const size = elementCount(shape);
  if (scales.shape.length === 0 || (scales.shape.length === 1 && scales.shape[0] === 1)) return { outer: 1, length: size, inner: 1, block: size };
  const axis = ((node.int('axis', 1) ?? 1) + shape.length) % shape.length;
  const [before, after] = [elementCount(shape.slice(0, axis)), elementCount(shape.slice(axis + 1))];
  const block = node.int('block_size', 0);
  if (block > 0) return { outer: before, length: shape[axis]!, inner: after, block };
  if (before === 1) return { outer: shape[axis]!, length: after, inner: 1, block: after };
  return after === 1 ? { outer: 1, length: before, inner: shape[axis]!, block: before } : undefined;
}
