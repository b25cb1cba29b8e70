/** Every tensor that a ModelProto stores, wherever it stands: each must be checked before anything uses the model. */
import type { AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto } from './schema.js';

export type StoredProto =
  | { readonly where: string; readonly dense: TensorProto; readonly sparse?: undefined }
  | { readonly where: string; readonly sparse: SparseTensorProto; readonly dense?: undefined };

export function* storedProtos(model: ModelProto): Generator<StoredProto, void, undefined> {
  if (model.graph) yield* inGraph(model.graph);
  for (const fn of model.functions ?? []) {
    yield* inNodes(fn.node);
    yield* inAttributes(fn.attributeProto, `function ${fn.name ?? ''}`);
  }
}

function* inGraph(graph: GraphProto): Generator<StoredProto, void, undefined> {
  for (const dense of graph.initializer ?? []) yield { where: `an initializer of graph '${graph.name ?? ''}'`, dense };
  for (const sparse of graph.sparseInitializer ?? []) {
    yield { where: `sparse initializer '${sparse.values?.name ?? ''}'`, sparse };
  }
  yield* inNodes(graph.node);
}

function* inNodes(nodes: readonly NodeProto[] = []): Generator<StoredProto, void, undefined> {
  for (const node of nodes) yield* inAttributes(node.attribute, `${node.opType ?? ''} '${node.name || node.output?.[0] || ''}'`);
}

function* inAttributes(attributes: readonly AttributeProto[] = [], owner: string): Generator<StoredProto, void, undefined> {
  for (const attr of attributes) {
    const where = `attribute ${attr.name ?? ''} of ${owner}`;
    if (attr.t) yield { where, dense: attr.t };
    for (const dense of attr.tensors ?? []) yield { where, dense };
    if (attr.sparseTensor) yield { where, sparse: attr.sparseTensor };
    for (const sparse of attr.sparseTensors ?? []) yield { where, sparse };
    if (attr.g) yield* inGraph(attr.g);
    for (const graph of attr.graphs ?? []) yield* inGraph(graph);
  }
}
