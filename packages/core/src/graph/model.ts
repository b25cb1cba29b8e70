/** A graph with its weights and everything a model file says about it. */
import type { Attribute } from './attribute.js';
import { Graph } from './graph.js';

/** A model-local function: a body that nodes call by (domain, name, overload). */
export interface ModelFunction {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  /** Inputs, outputs and nodes. */
  readonly body: Graph;
  /** Attributes without a default, by name. */
  readonly attributes: readonly string[];
  readonly attributeDefaults: ReadonlyMap<string, Attribute>;
  /** Version by domain for the operators of the body; the model's own imports do not reach it. */
  readonly opsetImports: Map<string, number>;
  readonly extra: Uint8Array | undefined;
}

/** Where a model was read from; lets an engine load an unmodified file by path. */
export interface ModelOrigin {
  readonly format: string;
  readonly path?: string;
}

export class Model {
  irVersion = 10;
  producerName = 'penjing';
  producerVersion = '';
  domain = '';
  modelVersion = 0n;
  doc = '';
  readonly graph: Graph;
  /** Version by domain; '' is ai.onnx. */
  readonly opsetImports = new Map<string, number>();
  readonly functions: ModelFunction[] = [];
  /** Saved metadata (ModelProto.metadata_props). */
  readonly metadata = new Map<string, string>();
  /** Fields this version does not know (training info among them), carried byte for byte. */
  extra: Uint8Array | undefined;
  origin: ModelOrigin | undefined;

  constructor(graph: Graph = new Graph('main')) {
    this.graph = graph;
  }

  /** Version of a domain's operator set; 'ai.onnx' and '' are the same domain. */
  opset(domain = ''): number | undefined {
    return this.opsetImports.get(domain === 'ai.onnx' ? '' : domain);
  }
}
