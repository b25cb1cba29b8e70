/** Weights stored in half precision and widened by a Cast when the model is loaded: half the file, the same graph. */
import {
  attribute, dtypes, elementCount, type Graph, lazy, modelGraphs, Names, Node, type Pass, PenjingError, type Value, type WeightRecord,
} from '@penjing/core';
import { raiseIrVersion } from './raise-ir-version.js';

export interface CastWeightsOptions {
  readonly dtype: 'float16' | 'bfloat16';
  /** Tensors with fewer elements keep float32; 256 when absent. */
  readonly minElements?: number;
}

/** First opset of ai.onnx whose Cast knows bfloat16. */
const FIRST_BFLOAT16 = 13;

/**
 * A lazy pass for any float32 model: it needs no kernel for half precision, because ONNX Runtime folds the Casts when
 * it loads the file. Computation stays in float32. Values outside float16's ±65504 become infinite: the error
 * measured on saving shows it.
 */
export function castWeights({ dtype, minElements = 256 }: CastWeightsOptions): Pass {
  return {
    name: `store weights as ${dtype}`,
    async run(model, { signal }) {
      if (dtype === 'bfloat16' && (model.opset() ?? 0) < FIRST_BFLOAT16) {
        throw new PenjingError('E_OPTION', `Cast takes bfloat16 from opset ${FIRST_BFLOAT16} on, the model has ${model.opset() ?? 0}`, {
          hint: 'Store the weights as float16.',
        });
      }
      raiseIrVersion(model, 4);
      const names = new Names(modelGraphs(model));
      const records: WeightRecord[] = [];
      for (const graph of [...modelGraphs(model)]) {
        for (const value of [...graph.initializers.values()]) {
          signal?.throwIfAborted();
          const { tensor } = value;
          if (tensor?.dtype !== 'float32' || graph.inputs.includes(value) || graph.outputs.includes(value)) continue;
          const elements = elementCount(tensor.shape);
          if (elements < minElements || (tensor.kind !== 'dense' && tensor.kind !== 'lazy')) continue;
          const stored = storeCast(graph, value, dtype, names);
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
function storeCast(graph: Graph, value: Value, dtype: 'float16' | 'bfloat16', names: Names): Value {
  const tensor = lazy.cast(value.tensor!, dtype);
  const stored = graph.addInitializer(names.claim(`${value.name}.${dtype}`), tensor);
  graph.initializers.delete(value.name);
  value.tensor = undefined;
  const node = new Node('Cast', [stored], [value], {
    name: names.claim(`${value.name}/Cast`),
    attributes: [['to', attribute.int(dtypes.float32.onnx)]],
  });
  const [first] = graph.nodes();
  if (first) graph.insertBefore(first, node);
  else graph.append(node);
  return stored;
}
