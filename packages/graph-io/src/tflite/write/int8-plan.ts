/** Decides, node by node, whether it computes on int8 codes, and on which grid its result lies. */
import type { Node, Value } from '@penjing/core';
import type { Emitter } from './emitter.js';
import { int8Rules, isFusable } from './int8-rules.js';
import { readIndices } from './lowering.js';
import { loweringOf } from './lowerings/index.js';
import { opNameOf } from './op-name.js';
import { type QuantizedConstant, type QuantizedModel, sameGrid } from './qdq.js';
import type { Quantization } from './tf-graph.js';

export class Int8Plan {
  readonly #quantized: QuantizedModel;
  readonly #emitter: Emitter;
  readonly #readers = new Map<Value, Node[]>();

  constructor(quantized: QuantizedModel, nodes: readonly Node[], emitter: Emitter) {
    this.#quantized = quantized;
    this.#emitter = emitter;
    for (const node of nodes) {
      const lowering = loweringOf(node);
      const values = lowering ? readIndices(node, lowering).map((index) => node.input(index)!) : node.inputs;
      for (const value of values) if (value) this.#readers.set(value, [...(this.#readers.get(value) ?? []), node]);
    }
  }

  /** The grid that every reader of a value puts it on; undefined when one wants its numbers. */
  gridOfReaders(value: Value): Quantization | undefined {
    const readers = this.#readers.get(value) ?? [];
    if (readers.length === 0 || this.#quantized.model.graph.outputs.includes(value)) return undefined;
    const grids = readers.map((reader) => this.#quantized.grids.get(reader.output()));
    if (grids.every((grid) => sameGrid(grid, grids[0]))) return grids[0];
    // An activation that will be fused: the result before it is clipped lies on the grid of what comes out.
    const [only] = readers;
    return readers.length === 1 && only && isFusable(only) ? this.gridOfReaders(only.output()) : undefined;
  }

  /** The grid of the result of a node that computes on codes; undefined for one that computes on numbers. */
  grid(node: Node): Quantization | undefined {
    if (this.#quantized.grids.size === 0) return undefined;
    const name = opNameOf(node);
    const rule = Object.hasOwn(int8Rules, name) ? int8Rules[name] : undefined;
    if (!rule) return undefined;
    const constant = (index: number): QuantizedConstant | undefined => {
      const value = node.input(index);
      return value ? this.#quantized.constants.get(value) : undefined;
    };
    const grids = (rule.inputs ?? node.inputs.map((_, i) => i)).map((index): Quantization | undefined => {
      const value = node.input(index);
      const stored = constant(index);
      // Weights may have many scales: the rule says whether that is right.
      if (stored) return stored.codes.dtype === 'int8' && (stored.quantization.scale.length === 1 || name === 'MatMul') ? stored.quantization : undefined;
      return value ? this.#emitter.gridOf(value) : undefined;
    });
    if (grids.includes(undefined) || rule.accepts?.(node, constant) === false) return undefined;
    if (rule.grid === 'same') return grids[0];
    const wanted = this.gridOfReaders(node.output());
    if (rule.grid === 'any') return wanted;
    // A finer grid than the kernel's would be filled with gaps: then it is computed on numbers.
    return wanted && wanted.scale[0]! >= 0.99 * rule.grid.scale[0]! ? rule.grid : undefined;
  }
}
