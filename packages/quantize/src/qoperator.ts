/** Block-quantized weights as the com.microsoft operators MatMulNBits and GatherBlockQuantized. */
import { attribute, denseOf, lazy, Node, Value, type Graph, type Tensor } from '@penjing/core';
import type { WeightMatrix, WeightSite } from './select.js';
import type { WeightScheme } from './scheme.js';
import { productOf, takeOver } from './split-gemm.js';

export const CONTRIB_DOMAIN = 'com.microsoft';

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

/** Why this form cannot hold a matrix, or undefined. */
export function refuseQOperator(matrix: WeightMatrix, scheme: WeightScheme): string | undefined {
  const cols = matrix.matrix.shape[1]!;
  const gathers = matrix.sites.some((site) => site.kind === 'gather');
  if (gathers && cols % scheme.blockSize !== 0) {
    return `lookups need rows of whole blocks, ${cols} is not a multiple of ${scheme.blockSize}`;
  }
  return undefined;
}

/** Replaces every node that reads the matrix; gives the name of the stored values. */
export function applyQOperator(matrix: WeightMatrix, scheme: WeightScheme, accuracyLevel: number): string {
  const { weight, owner } = matrix;
  const [rows, cols] = matrix.matrix.shape as [number, number];
  const quantized = lazy.quantize(matrix.matrix, { ...scheme, layout: 'nbits' }, matrix.matrix.dtype);
  const store = (suffix: string, tensor: Tensor): Value => owner.addInitializer(`${weight.name}.${suffix}`, tensor);
  const name = `q${scheme.bits}`;
  const stored: Stored = {
    rows,
    cols,
    values: store(name, quantized.values),
    scales: store(`${name}_scales`, quantized.scales),
    zeroPoints: quantized.zeroPoints && store(`${name}_zero_points`, quantized.zeroPoints),
  };
  // A lookup wants (rows, bytes), a product (rows, blocks, bytes): the same bytes, so a matrix that serves both is
  // stored for the lookup and reshaped for the product; ONNX Runtime folds that when it loads the model.
  const lookups = matrix.sites.filter((site) => site.kind === 'gather');
  const products = matrix.sites.filter((site) => site.kind !== 'gather');
  if (lookups.length > 0) {
    const blocked = stored.values.tensor!;
    stored.values.tensor = lazy.reshape(blocked, [rows, (cols * scheme.bits) / 8]);
    stored.values.type = { kind: 'tensor', dtype: 'uint8', shape: stored.values.tensor.shape };
    for (const site of lookups) replaceGather(site, stored, scheme);
    if (products.length > 0) {
      const view = viewOf(owner, stored.values, blocked);
      for (const site of products) replaceProduct(site, { ...stored, values: view }, scheme, accuracyLevel);
    }
  } else {
    for (const site of products) replaceProduct(site, stored, scheme, accuracyLevel);
  }
  return stored.values.name;
}

/** The stored values under another shape, as a Reshape before the first node of the graph. */
function viewOf(owner: Graph, values: Value, blocked: Tensor): Value {
  const shape = owner.addInitializer(`${values.name}_shape`, denseOf('int64', [blocked.shape.length], blocked.shape));
  const view = new Value(`${values.name}_blocked`, { kind: 'tensor', dtype: 'uint8', shape: blocked.shape });
  const node = new Node('Reshape', [values, shape], [view], { name: `${values.name}_reshape` });
  const [first] = owner.nodes();
  if (first) owner.insertBefore(first, node);
  else owner.append(node);
  return view;
}

function replaceProduct(site: WeightSite, stored: Stored, scheme: WeightScheme, accuracyLevel: number): void {
  const node = productOf(site);
  const graph = node.graph!;
  const inputs = [node.input(0)!, stored.values, stored.scales, stored.zeroPoints ?? null];
  graph.insertBefore(
    node,
    new Node('MatMulNBits', trim(inputs), [takeOver(node)], {
      domain: CONTRIB_DOMAIN,
      name: node.name,
      attributes: [
        ['K', attribute.int(stored.cols)],
        ['N', attribute.int(stored.rows)],
        ['bits', attribute.int(scheme.bits)],
        ['block_size', attribute.int(scheme.blockSize)],
        ['accuracy_level', attribute.int(accuracyLevel)],
      ],
    }),
  );
  graph.remove(node);
}

function replaceGather({ node }: WeightSite, stored: Stored, scheme: WeightScheme): void {
  const graph = node.graph!;
  const inputs = [stored.values, node.input(1)!, stored.scales, stored.zeroPoints ?? null];
  graph.insertBefore(
    node,
    new Node('GatherBlockQuantized', trim(inputs), [takeOver(node)], {
      domain: CONTRIB_DOMAIN,
      name: node.name,
      attributes: [
        ['bits', attribute.int(scheme.bits)],
        ['block_size', attribute.int(scheme.blockSize)],
        ['gather_axis', attribute.int(0)],
        ['quantize_axis', attribute.int(1)],
      ],
    }),
  );
  graph.remove(node);
}

function trim(inputs: (Value | null)[]): (Value | null)[] {
  return inputs.at(-1) === null ? inputs.slice(0, -1) : inputs;
}
