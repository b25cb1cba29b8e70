/** Weights stored in half precision and widened by a Cast when the model is loaded: half the file, the same graph. */
import {
  attribute, dtypes, elementCount, type Graph, lazy, modelGraphs, Node, type Pass, PenjingError, Value, type WeightRecord,
} from '@penjing/core';

export interface CastWeightsOptions {
  readonly dtype: 'float16' | 'bfloat16';
  /** Tensors with fewer elements keep float32; 256 when absent. */
  readonly minElements?: number;
}

/**
 * A lazy pass for any float32 model: it needs no kernel for half precision, because ONNX Runtime folds the Casts when
 * it loads the file. Computation stays in float32. Values outside float16's ±65504 become infinite: the error
 * measured on saving shows it.
 */
export function castWeights({ dtype, minElements = 256 }: CastWeightsOptions): Pass {
  return {
    name: `store weights as ${dtype}`,
    async run(model, { signal }) {
      const records: WeightRecord[] = [];
      for (const graph of [...modelGraphs(model)]) {
        for (const value of [...graph.initializers.values()]) {
          signal?.throwIfAborted();
          const { tensor } = value;
          if (tensor?.dtype !== 'float32' || graph.inputs.includes(value) || graph.outputs.includes(value)) continue;
          const elements = elementCount(tensor.shape);
          if (elements < minElements || (tensor.kind !== 'dense' && tensor.kind !== 'lazy')) continue;
          const stored = storeCast(graph, value, dtype);
          records.push({
            name: value.name,
            method: `cast ${dtype}`,
            elements,
            bytesBefore: tensor.byteLength,
            bytesAfter: stored.tensor!.byteLength,
            measuredBy: stored.name,
          });
        }
      }
      if (records.length === 0) {
        throw new PenjingError('E_NOTHING_TO_DO', `no float32 weight of ${minElements} elements or more to store as ${dtype}`);
      }
      model.origin = undefined;
      return { model, modified: true, records, warnings: [] };
    },
  };
}

/** Puts `Cast(stored)` in the place of an initializer; gives the stored value. */
function storeCast(graph: Graph, value: Value, dtype: 'float16' | 'bfloat16'): Value {
  graph.initializers.delete(value.name);
  const stored = graph.addInitializer(`${value.name}.${dtype}`, lazy.cast(value.tensor!, dtype));
  const widened = new Value(value.name, value.type);
  value.replaceUsesWith(widened);
  const node = new Node('Cast', [stored], [widened], {
    name: `${value.name}/Cast`,
    attributes: [['to', attribute.int(dtypes.float32.onnx)]],
  });
  const [first] = graph.nodes();
  if (first) graph.insertBefore(first, node);
  else graph.append(node);
  return stored;
}
