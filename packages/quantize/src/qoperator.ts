/** Block-quantized weights as the com.microsoft operators MatMulNBits and GatherBlockQuantized. */
import { attribute, denseOf, lazy, type Names, Node, Value, type Graph, type Tensor } from '@penjing/core';
import type { WeightSite } from '@penjing/core/calibrate';
import { storedBits } from './scheme.js';
import { productOf, takeOver } from './split-gemm.js';
import type { FormContext, WeightForm } from './weight-form.js';

const CONTRIB_DOMAIN = 'com.microsoft';

/** The tensors of one quantized matrix, stored once for all the nodes that read it. */
interface Stored {
  readonly rows: number;
  readonly cols: number;
  /** uint8 (rows, blocks, blockSize·bits/8). */
  readonly values: Value;
  /** (rows, blocks). */
  readonly scales: Value;
  /** uint8 (rows, ceil(blocks·bits/8)). */
  readonly zeroPoints: Value | undefined;
}

export const qoperatorForm: WeightForm = {
  layout: 'nbits',
  irVersion: () => 4,

  refuse({ matrix, sites }, { blockSize }) {
    const cols = matrix.shape[1]!;
    if (sites.some((site) => site.kind === 'gather') && cols % blockSize !== 0) {
      return `lookups need rows of whole blocks, ${cols} is not a multiple of ${blockSize}`;
    }
    return undefined;
  },

  apply({ weight, owner, opsets, matrix, sites }, quantized, context) {
    const { scheme, names } = context;
    const [rows, cols] = matrix.shape as [number, number];
    if (!opsets.has(CONTRIB_DOMAIN)) opsets.set(CONTRIB_DOMAIN, 1);
    const store = (suffix: string, tensor: Tensor): Value =>
      owner.addInitializer(names.claim(`${weight.name}.q${scheme.bits}${suffix}`), tensor);
    // A lookup wants (rows, bytes), a product (rows, blocks, bytes): the same bytes, so a matrix that serves both is
    // stored for the lookup and reshaped for the product; ONNX Runtime folds that when it loads the model.
    const lookups = sites.filter((site) => site.kind === 'gather');
    const products = sites.filter((site) => site.kind !== 'gather');
    const stored: Stored = {
      rows,
      cols,
      values: store('', lookups.length > 0 ? lazy.reshape(quantized.values, [rows, (cols * storedBits(scheme)) / 8]) : quantized.values),
      scales: store('_scales', quantized.scales),
      zeroPoints: quantized.zeroPoints && store('_zero_points', quantized.zeroPoints),
    };
    for (const site of lookups) replaceGather(site, stored, context);
    if (products.length > 0) {
      const values = lookups.length > 0 ? viewOf(owner, stored.values, quantized.values.shape, names) : stored.values;
      for (const site of products) replaceProduct(site, { ...stored, values }, context);
    }
    return stored.values;
  },
};

/** The stored values under another shape, as a Reshape before the first node of the graph. */
function viewOf(owner: Graph, values: Value, shape: readonly number[], names: Names): Value {
  const target = owner.addInitializer(names.claim(`${values.name}_shape`), denseOf('int64', [shape.length], shape));
  const view = new Value(names.claim(`${values.name}_blocked`), { kind: 'tensor', dtype: 'uint8', shape });
  const node = new Node('Reshape', [values, target], [view], { name: names.claim(`${values.name}_reshape`) });
  const [first] = owner.nodes();
  if (first) owner.insertBefore(first, node);
  else owner.append(node);
  return view;
}

function replaceProduct(site: WeightSite, stored: Stored, { scheme, accuracyLevel, names }: FormContext): void {
  const node = productOf(site, names);
  replace(node, 'MatMulNBits', [node.input(0)!, stored.values, stored.scales, stored.zeroPoints], {
    K: stored.cols,
    N: stored.rows,
    bits: storedBits(scheme),
    block_size: scheme.blockSize,
    accuracy_level: accuracyLevel,
  });
}

function replaceGather({ node }: WeightSite, stored: Stored, { scheme }: FormContext): void {
  replace(node, 'GatherBlockQuantized', [stored.values, node.input(1)!, stored.scales, stored.zeroPoints], {
    bits: storedBits(scheme),
    block_size: scheme.blockSize,
    gather_axis: 0,
    quantize_axis: 1,
  });
}

function replace(node: Node, opType: string, inputs: readonly (Value | undefined)[], attributes: Readonly<Record<string, number>>): void {
  const graph = node.graph!;
  graph.insertBefore(
    node,
    new Node(opType, inputs.filter((value) => value !== undefined), [takeOver(node)], {
      domain: CONTRIB_DOMAIN,
      name: node.name,
      attributes: Object.entries(attributes).map(([name, value]) => [name, attribute.int(value)] as const),
    }),
  );
  graph.remove(node);
}
