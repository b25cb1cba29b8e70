/** Zeros put around an image before a convolution or a pooling become the padding of that operator. */
import { attribute } from '../../graph/attribute.js';
import type { Rule } from '../rule.js';

/** What must be padded with so that the operator's own padding is the same. */
const fills: Readonly<Record<string, (value: number) => boolean>> = {
  Conv: (value) => value === 0,
  // ONNX Runtime's average counts padding only when told to.
  AveragePool: (value) => value === 0,
  MaxPool: (value) => value === -Infinity,
};

export const padWindow: Rule = {
  name: 'pad-window',
  phase: 'merge',
  ops: ['Conv', 'AveragePool', 'MaxPool'],
  apply(node, c) {
    const pad = c.producer(node.input(0), 'Pad');
    const source = pad?.input(0);
    if (!pad || !source || !c.isPrivate(node.input(0)!) || pad.string('mode', 'constant') !== 'constant' || pad.input(3)) return false;
    const value = pad.input(2) ? c.scalar(pad.input(2)) : pad.float('value', 0);
    const pads = pad.ints('pads') ?? pad.ints('paddings') ?? c.numbers(pad.input(1));
    const rank = pads && pads.length / 2;
    if (value === undefined || !pads || rank === undefined || rank < 3 || pads.some((x) => x < 0) || !fills[node.opType]!(value)) return false;
    // Neither batch nor channels are padded, and the operator does not choose its padding itself.
    if ([0, 1, rank, rank + 1].some((i) => pads[i] !== 0) || node.string('auto_pad', 'NOTSET') !== 'NOTSET') return false;
    const own = node.ints('pads') ?? new Array<number>(2 * (rank - 2)).fill(0);
    if (node.opType === 'AveragePool' && (node.int('count_include_pad', 0) === 0 ? own.some((x) => x !== 0) : false)) return false;
    if (node.opType !== 'Conv' && (node.int('ceil_mode', 0) === 1 || node.outputs.length > 1)) return false;
    const added = [...pads.slice(2, rank), ...pads.slice(rank + 2)];
    const sum = own.map((x, i) => x + added[i]!);
    // Pooling windows must touch the image: ONNX Runtime wants a padding smaller than the kernel.
    const kernel = node.ints('kernel_shape');
    if (node.opType !== 'Conv' && (!kernel || sum.some((x, i) => x >= kernel[i % kernel.length]!))) return false;
    node.attributes.set('pads', attribute.ints(sum));
    if (node.opType === 'AveragePool') node.attributes.set('count_include_pad', attribute.int(1));
    node.setInput(0, source);
    return true;
  },
};
