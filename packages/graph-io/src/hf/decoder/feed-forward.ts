/** Feed-forward parts of decoders' layers, as rows of the table say them: gated, plain, or mixtures of experts. */
import type { Value } from '@penjing/core';
import type { ActivationName } from '../blocks/activation.js';
import { type ExpertsShape, mixtureOfExperts } from '../blocks/experts.js';
import { gatedMlp, type GatedMlpNames, type GatedMlpShape, plainMlp, type PlainMlpShape } from '../blocks/mlp.js';
import type { Fields } from '../fields.js';
import type { Network } from '../network.js';
import { activation, type Setting, settle } from '../settings.js';
import type { DecoderSizes } from './sizes.js';

/** The part of layer `index`; x and the result are (batch, seq, hidden). */
export type FeedForwardPart = (net: Network, x: Value, index: number) => Value;

export type FeedForward = (config: Fields, sizes: DecoderSizes) => FeedForwardPart;

export interface GatedRow {
  /** `hidden_act`, silu when absent. */
  readonly activation?: Setting<ActivationName>;
  readonly bias?: Setting<boolean>;
  readonly names?: GatedMlpNames;
  /** Module that holds gate and up projection. */
  readonly fused?: string;
  /** Module of the whole; `mlp` when absent. */
  readonly module?: string;
}

/** down(act(gate(x)) · up(x)): Llama's, with everything left out. */
export function gated(row: GatedRow = {}): FeedForward {
  return (config, { hidden }) => {
    const shape = gatedShape(config, hidden, row);
    return (net, x) => gatedMlp(net, row.module ?? 'mlp', x, shape);
  };
}

function gatedShape(config: Fields, hidden: number, row: GatedRow, intermediate = config.size('intermediate_size')): GatedMlpShape {
  return {
    hidden, intermediate,
    activation: settle(config, row.activation ?? activation('hidden_act', 'silu')),
    bias: settle(config, row.bias, false),
    ...(row.names && { names: row.names }), ...(row.fused !== undefined && { fused: row.fused }),
  };
}

export interface PlainRow {
  readonly names: PlainMlpShape['names'];
  readonly activation: Setting<ActivationName>;
  /** `intermediate_size` when absent. */
  readonly intermediate?: (config: Fields, hidden: number) => number;
  /** true when absent. */
  readonly bias?: Setting<boolean>;
  /** Stored as (inputs, outputs). */
  readonly turned?: boolean;
  /** Module of both; null: they are the layer's own. `mlp` when absent. */
  readonly module?: string | null;
}

/** second(act(first(x))). */
export function plain({ names, turned = false, module = 'mlp', ...row }: PlainRow): FeedForward {
  return (config, { hidden }) => {
    const shape: PlainMlpShape = {
      hidden, names, turned,
      intermediate: row.intermediate?.(config, hidden) ?? config.size('intermediate_size'),
      activation: settle(config, row.activation),
      bias: settle(config, row.bias, true),
    };
    return (net, x) => (module === null ? plainMlp(net, x, shape) : net.module(module, () => plainMlp(net, x, shape)));
  };
}

export interface ExpertsRow {
  /** Module of the mixture; `mlp` when absent. */
  readonly module?: string;
  /** Fields of their number; the first that a config has counts. */
  readonly count: readonly [string, ...string[]];
  readonly usual: { readonly experts: number; readonly perToken: number; readonly intermediate?: number };
  /** Field of an expert's width. */
  readonly intermediate: string;
  /** Whether the shares of a token's experts are scaled to a sum of 1. */
  readonly normalized: Setting<boolean>;
  readonly names?: GatedMlpNames;
  /** An expert of every token besides, by the field of its width. */
  readonly shared?: { readonly intermediate: string; readonly usual: number };
  /** Layers that are plain, by index; all have experts when absent. */
  readonly dense?: (config: Fields, layers: number) => (index: number) => boolean;
}

/** More experts than any model has; each is a dozen nodes of the graph. */
const MAX_EXPERTS = 1024;

/** Mixtures of experts, with Llama's feed-forward part in the layers that are `dense`. */
export function experts({ module = 'mlp', usual, shared, ...row }: ExpertsRow): FeedForward {
  return (config, { hidden, layers }) => {
    const count = config.size(row.count.find((name) => config.has(name)) ?? row.count[0], usual.experts, MAX_EXPERTS);
    const width = config.size(row.intermediate, usual.intermediate);
    const shape: ExpertsShape = {
      experts: count,
      perToken: config.size('num_experts_per_tok', usual.perToken, count),
      normalized: settle(config, row.normalized),
      expert: gatedShape(config, hidden, { ...(row.names && { names: row.names }) }, width),
      ...(shared && { shared: gatedShape(config, hidden, {}, config.size(shared.intermediate, shared.usual)) }),
    };
    const isDense = row.dense?.(config, layers) ?? (() => false);
    const dense = Array.from({ length: layers }, (_, i) => i).some(isDense) ? gatedShape(config, hidden, {}) : undefined;
    return (net, x, index) => (dense && isDense(index) ? gatedMlp(net, 'mlp', x, dense) : mixtureOfExperts(net, module, x, shape));
  };
}

/** Qwen's: experts in every `decoder_sparse_step`th layer but those in `mlp_only_layers`. */
export function sparseSteps(config: Fields, layers: number): (index: number) => boolean {
  const step = config.size('decoder_sparse_step', 1);
  const listed = config.get('mlp_only_layers') ?? [];
  if (!Array.isArray(listed) || !listed.every((item) => Number.isInteger(item) && item >= 0 && item < layers)) {
    throw config.wrong('mlp_only_layers', `a list of layers below ${layers}`);
  }
  const dense = new Set<unknown>(listed);
  return (index) => dense.has(index) || (index + 1) % step !== 0;
}
