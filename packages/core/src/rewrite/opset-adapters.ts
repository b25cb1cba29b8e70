/** What later versions of operators want written otherwise. An operator that is not listed only ever gained types or attributes. */
import { attribute } from '../graph/attribute.js';
import { Node } from '../graph/node.js';
import { Value } from '../graph/value.js';
import { float32Tensor } from './arithmetic.js';
import type { Rewriter } from './rewriter.js';

export interface OpsetAdapter {
  /** The version of ai.onnx that brought the change. */
  readonly since: number;
  /** Why a node cannot be rewritten. */
  readonly refuse?: (node: Node, c: Rewriter) => string | undefined;
  /** Rewrites in place; false when this node needed nothing. */
  readonly apply: (node: Node, c: Rewriter) => boolean | void;
}

/** An attribute of integers that became input `index`. */
function toInput(name: string, index: number): OpsetAdapter['apply'] {
  return (node, c) => {
    const values = node.ints(name);
    if (!values) return false;
    node.setInput(index, c.addNumbers(node, 'int64', values, `${node.output(0).name}/${name}`));
    node.attributes.delete(name);
    return true;
  };
}

const axesToInput = (since: number): readonly OpsetAdapter[] => [{ since, apply: toInput('axes', 1) }];
const isFloat32 = (node: Node, c: Rewriter): boolean => c.dtype(node.input(0)) === 'float32';

/** Until opset 12 an input was seen as a matrix cut at `axis`, and the last axis of that was normalized. */
const softmax: readonly OpsetAdapter[] = [{
  since: 13,
  apply(node, c) {
    const rank = c.shape(node.input(0))?.length;
    const given = node.int('axis', 1);
    const axis = given < 0 && rank !== undefined ? given + rank : given;
    if (given === -1 || axis === (rank ?? NaN) - 1) {
      node.attributes.set('axis', attribute.int(-1));
      return true;
    }
    const input = node.input(0)!;
    node.setInput(0, c.insert(node, 'Flatten', [input], { axis: given }));
    node.attributes.set('axis', attribute.int(-1));
    const shape = c.insert(node, 'Shape', [input]);
    reshapeAfter(node, shape, c);
    return true;
  },
}];

/** Gives the first output of a node another shape, under the old name. */
function reshapeAfter(node: Node, shape: Value, c: Rewriter): void {
  const old = node.output(0);
  const flat = new Value(c.names.claim(`${old.name}/flat`));
  node.replaceOutput(0, flat);
  node.graph!.insertAfter(node, new Node('Reshape', [flat, shape], [old], { name: node.name && c.names.claim(`${node.name}/Reshape`) }));
}

const adapters: Readonly<Record<string, readonly OpsetAdapter[]>> = {
  Slice: [{
    since: 10,
    apply(node, c) {
      for (const [i, name] of (['starts', 'ends', 'axes'] as const).entries()) toInput(name, i + 1)(node, c);
      return true;
    },
  }],
  TopK: [{
    since: 10,
    apply(node, c) {
      const k = node.int('k');
      if (k === undefined) return false;
      node.setInput(1, c.addNumbers(node, 'int64', [k], `${node.output(0).name}/k`));
      node.attributes.delete('k');
      return true;
    },
  }],
  // Every output element is read at the floor of its place over the scale: Resize calls that asymmetric.
  Upsample: [{
    since: 10,
    apply(node, c) {
      const scales = node.floats('scales');
      if (scales) node.setInput(1, c.addConstant(node, float32Tensor([scales.length], scales), `${node.output(0).name}/scales`));
      node.attributes.delete('scales');
      node.opType = 'Resize';
      return true;
    },
  }],
  Resize: [{
    since: 11,
    apply(node, c) {
      const scales = node.input(1)!;
      node.setInput(2, scales);
      node.setInput(1, c.addConstant(node, float32Tensor([0], []), `${node.output(0).name}/roi`));
      node.attributes.set('coordinate_transformation_mode', attribute.string('asymmetric'));
      if (node.string('mode', 'nearest') === 'nearest') node.attributes.set('nearest_mode', attribute.string('floor'));
      return true;
    },
  }],
  Clip: [{
    since: 11,
    refuse: (node, c) => (isFloat32(node, c) || (!node.attributes.has('min') && !node.attributes.has('max')) ? undefined : 'its bounds would have to be constants of another type than float32'),
    apply(node, c) {
      const [low, high] = [node.float('min'), node.float('max')];
      if (low === undefined && high === undefined) return false;
      const bound = (value: number | undefined, name: string): Value | null => (value === undefined ? null : c.addConstant(node, float32Tensor([], [value]), `${node.output(0).name}/${name}`));
      node.setInput(1, bound(low, 'min'));
      if (high !== undefined) node.setInput(2, bound(high, 'max'));
      else node.truncateInputs(2);
      node.attributes.delete('min');
      node.attributes.delete('max');
      return true;
    },
  }],
  Pad: [{
    since: 11,
    refuse: (node, c) => (isFloat32(node, c) || node.float('value', 0) === 0 ? undefined : 'its value would have to be a constant of another type than float32'),
    apply(node, c) {
      toInput('pads', 1)(node, c);
      const value = node.float('value', 0);
      if (value !== 0) node.setInput(2, c.addConstant(node, float32Tensor([], [value]), `${node.output(0).name}/value`));
      node.attributes.delete('value');
      return true;
    },
  }],
  Scatter: [{ since: 11, apply: (node) => void (node.opType = 'ScatterElements') }],
  Dropout: [{
    since: 12,
    apply(node, c) {
      const ratio = node.float('ratio');
      node.attributes.delete('ratio');
      if (ratio === undefined) return false;
      node.setInput(1, c.addConstant(node, float32Tensor([], [ratio]), `${node.output(0).name}/ratio`));
      return true;
    },
  }],
  Softmax: softmax, LogSoftmax: softmax, Hardmax: softmax,
  Squeeze: axesToInput(13), Unsqueeze: axesToInput(13), ReduceSum: axesToInput(13),
  ReduceMax: axesToInput(18), ReduceMin: axesToInput(18), ReduceMean: axesToInput(18), ReduceProd: axesToInput(18), ReduceL1: axesToInput(18),
  ReduceL2: axesToInput(18), ReduceLogSum: axesToInput(18), ReduceLogSumExp: axesToInput(18), ReduceSumSquare: axesToInput(18),
  Split: [
    { since: 13, apply: toInput('split', 1) },
    {
      since: 18,
      apply(node) {
        if (node.input(1)) return false;
        node.attributes.set('num_outputs', attribute.int(node.outputs.length));
        return true;
      },
    },
  ],
  BatchNormalization: [
    { since: 9, refuse: (node) => (node.int('spatial', 1) === 1 ? undefined : 'it normalizes every element by itself'), apply: (node) => node.attributes.delete('spatial') },
    {
      since: 14,
      refuse: (node, c) => (c.onlyFirstOutput(node) ? undefined : 'its outputs of training are used'),
      apply(node) {
        if (node.outputs.length === 1) return false;
        node.truncateOutputs(1);
        return true;
      },
    },
  ],
  RoiAlign: [{
    since: 16,
    apply(node) {
      if (node.attributes.has('coordinate_transformation_mode')) return false;
      node.attributes.set('coordinate_transformation_mode', attribute.string('output_half_pixel'));
      return true;
    },
  }],
  GridSample: [{
    since: 20,
    apply(node) {
      const renamed: Readonly<Record<string, string>> = { bilinear: 'linear', bicubic: 'cubic' };
      const mode = node.string('mode', 'bilinear');
      if (!renamed[mode]) return false;
      node.attributes.set('mode', attribute.string(renamed[mode]));
      return true;
    },
  }],
  DFT: [{
    since: 20,
    apply(node, c) {
      // The axis counted from the front and was 1; now it is an input and -2.
      node.setInput(2, c.addNumbers(node, 'int64', node.int('axis', 1), `${node.output(0).name}/axis`));
      node.attributes.delete('axis');
      return true;
    },
  }],
  // Before 17 it was ONNX Runtime's own, which lets the scale have a type of its own.
  LayerNormalization: [{
    since: 17,
    refuse: (node, c) => (c.dtype(node.input(0)) === c.dtype(node.input(1)) ? undefined : 'its scale has another type than its input'),
    apply: () => false,
  }],
  GroupNormalization: [{ since: 21, refuse: () => 'its scale and bias are per group and would be per channel', apply: () => false }],
  Scan: [{ since: 9, refuse: () => 'it has a batch axis', apply: () => false }],
};

/** The changes of an operator, oldest first. */
export function adaptersOf(opType: string): readonly OpsetAdapter[] {
  return Object.hasOwn(adapters, opType) ? adapters[opType]! : [];
}
