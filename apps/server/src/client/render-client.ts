/** A typed client of one model in TypeScript, written from its signature: V2 with binary tensors over fetch, and nothing to install. */
import { PenjingError, type ValueInfo } from '@penjing/core';
import { v2DatatypeOf } from '@penjing/graph-io/v2';
import { signatureOf } from '../host/tensor-signature.js';
import { CLIENT_CODE } from './client-code.js';

/** As `GET /v2/models/{model}` says it; sizes that are not fixed are -1. */
export interface ClientSignature {
  readonly name: string;
  readonly inputs: readonly ClientTensor[];
  readonly outputs: readonly ClientTensor[];
}

export interface ClientTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** The signature of a model that is not served. Throws `E_UNSUPPORTED` for what the protocol cannot carry. */
export function clientSignature(name: string, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): ClientSignature {
  const tensorOf = (value: ValueInfo): ClientTensor => {
    const { name: own, dtype, shape } = signatureOf(value);
    if (!dtype || !shape) throw new PenjingError('E_UNSUPPORTED', `${own} of the model is no tensor of a known rank`, { hint: 'The V2 protocol carries tensors only.' });
    return { name: own, datatype: v2DatatypeOf(dtype), shape: shape.map((size) => (typeof size === 'number' ? size : -1)) };
  };
  return { name, inputs: inputs.map(tensorOf), outputs: outputs.map(tensorOf) };
}

/** Array types of TypeScript by datatype. */
const arrays: Readonly<Record<string, string>> = {
  BOOL: 'Uint8Array', UINT8: 'Uint8Array', UINT16: 'Uint16Array', UINT32: 'Uint32Array', UINT64: 'BigUint64Array', INT8: 'Int8Array', INT16: 'Int16Array', INT32: 'Int32Array', INT64: 'BigInt64Array',
  FP16: 'Uint16Array', BF16: 'Uint16Array', FP32: 'Float32Array', FP64: 'Float64Array', BYTES: 'readonly string[]',
};

/** What cannot be seen in the type. */
const remarks: Readonly<Record<string, string>> = { BOOL: ': 0 and 1', FP16: ': the bits of half-precision numbers', BF16: ': the upper bits of single-precision numbers', BYTES: ': texts' };

export function renderClient({ name, inputs, outputs }: ClientSignature, url: string): string {
  return `/** Client of the model ${comment(name)}, written by \`penjing client\`; write it anew when the model changes. It needs fetch: a browser, Node, Deno or Bun. */

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
  const fields = tensors.map((tensor) => `  /** ${tensor.datatype}${remarks[tensor.datatype] ?? ''} */\n  readonly ${JSON.stringify(tensor.name)}: Tensor<readonly [${tensor.shape.map((size) => (size < 0 ? 'number' : size)).join(', ')}], ${arrayOf(tensor)}>;\n`);
  return `export interface ${name} {\n${fields.join('')}}\n`;
}

function arrayOf({ name, datatype }: ClientTensor): string {
  const array = arrays[datatype];
  if (array === undefined) throw new PenjingError('E_UNSUPPORTED', `${name} has the datatype ${datatype}, which a client cannot carry`);
  return array;
}

function tableOf(tensors: readonly ClientTensor[]): string {
  return `[\n${tensors.map(({ name, datatype, shape }) => `  { name: ${JSON.stringify(name)}, datatype: ${JSON.stringify(datatype)}, shape: [${shape.join(', ')}] },\n`).join('')}] as const`;
}

/** A name cannot end the comment that it stands in. */
const comment = (text: string): string => text.replaceAll('*/', '* /').replace(/[\r\n]/g, ' ');
