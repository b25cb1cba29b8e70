/** A typed client of one model in TypeScript, written from its signature: V2 with binary tensors over fetch, and nothing to install. */
import { PenjingError, type ValueInfo } from '@penjing/core';
import { z } from 'zod';
import { issuesOf } from '../config/read-config.js';
import { MODEL_NAME } from '../config/schema.js';
import { signatureOf } from '../host/tensor-signature.js';
import { tensorMetadata } from '../v2/signature.js';
import { CLIENT_CODE } from './client-code.js';

/** As `GET /v2/models/{model}` says it; sizes that are not fixed are -1. */
export interface ClientSignature {
  readonly name: string;
  readonly inputs: readonly ClientTensor[];
  readonly outputs: readonly ClientTensor[];
}

/** An input or output of it, with a datatype of the V2 protocol. */
export interface ClientTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/**
 * The signature of a model that is not served, as its server would say it: outputs that the protocol cannot carry are left out. Throws `E_UNSUPPORTED` for such an input,
 * without which nobody can ask, and for a name that no server takes.
 */
export function clientSignature(name: string, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): ClientSignature {
  const asked = inputs.map((value) => {
    const [row] = tensorMetadata(signatureOf(value));
    if (!row) throw new PenjingError('E_UNSUPPORTED', `${value.name} of the model is no tensor of a known rank and a datatype of the V2 protocol`, { hint: 'The V2 protocol carries tensors only.' });
    return row;
  });
  return parseSignature({ name, inputs: asked, outputs: outputs.flatMap((value) => tensorMetadata(signatureOf(value))) });
}

/** Array types of TypeScript by datatype. */
const arrays: Readonly<Record<string, string>> = {
  BOOL: 'Uint8Array', UINT8: 'Uint8Array', UINT16: 'Uint16Array', UINT32: 'Uint32Array', UINT64: 'BigUint64Array', INT8: 'Int8Array', INT16: 'Int16Array', INT32: 'Int32Array', INT64: 'BigInt64Array',
  FP16: 'Uint16Array', BF16: 'Uint16Array', FP32: 'Float32Array', FP64: 'Float64Array', BYTES: 'readonly string[]',
};

/** What cannot be seen in the type. */
const remarks: Readonly<Record<string, string>> = { BOOL: ': 0 and 1', FP16: ': the bits of half-precision numbers', BF16: ': the upper bits of single-precision numbers', BYTES: ': texts' };

const tensorsSchema = z.array(z.object({
  name: z.string(),
  datatype: z.string().refine((datatype) => Object.hasOwn(arrays, datatype), 'it is none that a client can carry'),
  shape: z.array(z.int().min(-1)),
}));

const signatureSchema = z.object({
  name: z.string().regex(MODEL_NAME, 'it is no name of a model: letters, digits and . _ -'),
  inputs: tensorsSchema,
  outputs: tensorsSchema,
});

/** What a server says of a model, of which all else is left out. Throws `E_UNSUPPORTED`, naming the field: the signature becomes code, so nothing in it is taken on trust. */
export function parseSignature(value: unknown): ClientSignature {
  const parsed = signatureSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new PenjingError('E_UNSUPPORTED', `no client can be written of the model: ${issuesOf(parsed.error)}`);
}

/** The client as the text of one file; it asks at `url`. Throws `E_UNSUPPORTED` for a signature that would not become code of one. */
export function renderClient(signature: ClientSignature, url: string): string {
  const { name, inputs, outputs } = parseSignature(signature);
  return `/** Client of the model ${name}, written by \`penjing client\`; write it anew when the model changes. It needs fetch: a browser, Node, Deno or Bun. */

export interface Tensor<Shape extends readonly number[], Data> {
  readonly shape: Shape;
  /** Row by row. */
  readonly data: Data;
}

${interfaceOf('Inputs', inputs)}
${interfaceOf('Outputs', outputs)}
const MODEL = ${JSON.stringify(name)};
const URL = ${JSON.stringify(url)};
const INPUTS = ${tableOf(inputs)};
const OUTPUTS = ${tableOf(outputs)};
${CLIENT_CODE}`;
}

function interfaceOf(name: string, tensors: readonly ClientTensor[]): string {
  const fields = tensors.map((tensor) => `  /** ${tensor.datatype}${remarks[tensor.datatype] ?? ''} */\n  readonly ${JSON.stringify(tensor.name)}: Tensor<readonly [${tensor.shape.map((size) => (size < 0 ? 'number' : size)).join(', ')}], ${arrays[tensor.datatype]!}>;\n`);
  return `export interface ${name} {\n${fields.join('')}}\n`;
}

function tableOf(tensors: readonly ClientTensor[]): string {
  return `[\n${tensors.map(({ name, datatype, shape }) => `  { name: ${JSON.stringify(name)}, datatype: ${JSON.stringify(datatype)}, shape: [${shape.join(', ')}] },\n`).join('')}] as const`;
}
