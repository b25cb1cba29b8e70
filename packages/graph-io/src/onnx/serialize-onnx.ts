/** The plan of an ONNX file: its exact bytes and holes for the weights, fixed before any weight is computed. */
import { type Model, type ModelFunction, PenjingError, storedTensors } from '@penjing/core';
import type { FileLayout, LayoutPiece } from '../layout.js';
import { EXTERNAL_ABOVE_BYTES, EXTERNAL_MIN_BYTES, onnxLimits } from '../limits.js';
import { encodeMessage } from './encode.js';
import { checkExternalLocation } from './external-location.js';
import { type FunctionProto, type ModelProto, modelSchema } from './schema.js';
import { entriesOf, innerValues, text, writeGraph, writeNode, writeNodeAttribute, writeValue } from './write-graph.js';
import { existingPlaces, ExternalFile, type ExternalPlaces } from './write-tensor.js';

export interface SerializeOnnxOptions {
  /** File name, relative to the output folder. */
  readonly name?: string;
  /** Weights in a second file; `auto` (the default) when together they take more than 1 GiB. */
  readonly externalData?: 'auto' | 'always' | 'never';
  /** Name of that file, in the same folder; `<name>_data` by default, as transformers.js expects it. */
  readonly externalName?: string;
  /** Smaller tensors stay in the model file. */
  readonly externalMinBytes?: number;
  /**
   * Write no weights: the file points at where they are, in files that lie beside it. Gives the name of such a file by the
   * `uri` of its source, undefined for weights that must be stored after all.
   */
  readonly inPlace?: (uri: string) => string | undefined;
}

/** The model file, then its external data file if it needs one. Throws `E_ONNX_SIZE` above 2 GiB of protobuf. */
export function serializeOnnx(model: Model, options: SerializeOnnxOptions = {}): FileLayout[] {
  const { name = 'model.onnx', externalData = 'auto', externalMinBytes = EXTERNAL_MIN_BYTES } = options;
  const wanted = externalData === 'always' || (externalData === 'auto' && tensorBytes(model) > EXTERNAL_ABOVE_BYTES);
  const folder = name.slice(0, name.lastIndexOf('/') + 1);
  const externalName = checkExternalLocation(options.externalName ?? `${name.slice(folder.length)}_data`, onnxLimits);
  const external = wanted ? new ExternalFile(externalName, externalMinBytes) : undefined;
  const { pieces, size } = encodeMessage(modelSchema, writeModel(model, options.inPlace ? existingPlaces(options.inPlace, externalMinBytes) : external));
  const layout: LayoutPiece[] = [];
  let offset = 0;
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      layout.push({ kind: 'bytes', offset, bytes: piece });
    } else if (piece.tensor) {
      layout.push({ kind: 'tensor', offset, name: piece.name ?? '', tensor: piece.tensor });
    } else {
      throw new PenjingError('E_ONNX_WRITE', `a tensor of ${piece.length} bytes has no content`);
    }
    offset += piece.length;
  }
  const file: FileLayout = { name, size, pieces: layout };
  const data = external?.layout(folder);
  return data ? [file, data] : [file];
}

function tensorBytes(model: Model): number {
  let total = 0;
  for (const { tensor } of storedTensors(model)) total += tensor.byteLength;
  return total;
}

function writeModel(model: Model, external: ExternalPlaces | undefined): ModelProto {
  return {
    ...(model.irVersion !== 0 && { irVersion: model.irVersion }),
    ...text('producerName', model.producerName),
    ...text('producerVersion', model.producerVersion),
    ...text('domain', model.domain),
    ...(model.modelVersion !== 0n && { modelVersion: model.modelVersion }),
    ...text('doc', model.doc),
    graph: writeGraph(model.graph, external),
    opsetImport: opsetsOf(model.opsetImports),
    ...entriesOf(model.metadata),
    ...(model.functions.length > 0 && { functions: model.functions.map((fn) => writeFunction(fn, external)) }),
    ...(model.extra && { extra: [model.extra] }),
  };
}

function writeFunction(fn: ModelFunction, external: ExternalPlaces | undefined): FunctionProto {
  const { body } = fn;
  const described = new Set([...body.inputs, ...body.outputs].filter((value) => value.type));
  const values = [...described, ...innerValues(body)];
  return {
    ...text('name', fn.name),
    input: body.inputs.map((value) => value.name),
    output: body.outputs.map((value) => value.name),
    attribute: [...fn.attributes],
    node: [...body.nodes()].map((node) => writeNode(node, external)),
    ...text('doc', body.doc),
    opsetImport: opsetsOf(fn.opsetImports),
    ...text('domain', fn.domain),
    attributeProto: [...fn.attributeDefaults].map(([name, attr]) => writeNodeAttribute(name, attr, external)),
    ...(values.length > 0 && { valueInfo: values.map(writeValue) }),
    ...text('overload', fn.overload),
    ...entriesOf(body.metadata),
    ...(fn.extra && { extra: [fn.extra] }),
  };
}

const opsetsOf = (imports: ReadonlyMap<string, number>): { domain: string; version: number }[] =>
  [...imports].map(([domain, version]) => ({ domain, version }));
