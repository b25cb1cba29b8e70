/** What is the same in every generated client: TypeScript as text, which a test compiles and runs. */

export const CLIENT_CODE = String.raw`
type Numbers = Uint8Array | Uint16Array | Uint32Array | BigUint64Array | Int8Array | Int16Array | Int32Array | BigInt64Array | Float32Array | Float64Array;
type AnyTensor = Tensor<readonly number[], Numbers | readonly string[]>;

export interface InferOptions {
  /** Where the server is, when it is elsewhere than this file says. */
  readonly url?: string;
  readonly apiKey?: string;
  /** The newest when absent. */
  readonly version?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds after which the server gives up. */
  readonly timeoutMs?: number;
}

/** What the server refused. */
export class InferError extends Error {
  readonly status: number;
  /** Seconds until it makes sense to ask again. */
  readonly retryAfter: number | undefined;

  constructor(message: string, status: number, retryAfter: number | undefined) {
    super(message);
    this.name = 'InferError';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Runs the model. Throws InferError for what the server refuses, and TypeError for data that does not fit its shape. */
export async function infer(inputs: Inputs, { url = URL, apiKey, version, signal, timeoutMs }: InferOptions = {}): Promise<Outputs> {
  const tensors = INPUTS.map(({ name, datatype }) => {
    const tensor: AnyTensor = inputs[name];
    const bytes = bytesOf(name, tensor);
    return { head: { name, datatype, shape: tensor.shape, parameters: { binary_data_size: bytes.length } }, bytes };
  });
  const head = new TextEncoder().encode(JSON.stringify({ inputs: tensors.map((tensor) => tensor.head), outputs: OUTPUTS.map(({ name }) => ({ name, parameters: { binary_data: true } })) }));
  const response = await fetch(url.replace(/\/+$/, '') + '/v2/models/' + encodeURIComponent(MODEL) + (version === undefined ? '' : '/versions/' + encodeURIComponent(version)) + '/infer', {
    method: 'POST',
    headers: {
      'Content-Type': 'application/octet-stream',
      'Inference-Header-Content-Length': String(head.length),
      ...(apiKey === undefined ? {} : { Authorization: 'Bearer ' + apiKey }),
      ...(timeoutMs === undefined ? {} : { 'X-Timeout-Ms': String(timeoutMs) }),
    },
    body: joined([head, ...tensors.map((tensor) => tensor.bytes)]),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!response.ok) throw await errorOf(response);
  return outputsOf(new Uint8Array(await response.arrayBuffer()), Number(response.headers.get('Inference-Header-Content-Length')));
}

function bytesOf(name: string, { shape, data }: AnyTensor): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  if (data.length !== count) throw new TypeError(name + ' has ' + data.length + ' elements, its shape [' + shape.join(', ') + '] has ' + count);
  if ('buffer' in data) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return joined(data.flatMap((text) => {
    const bytes = new TextEncoder().encode(text);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length, true);
    return [length, bytes];
  }));
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

interface OutputHead {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters: { readonly binary_data_size: number };
}

function outputsOf(body: Uint8Array<ArrayBuffer>, headLength: number): Outputs {
  const { outputs } = JSON.parse(new TextDecoder().decode(body.subarray(0, headLength))) as { readonly outputs: readonly OutputHead[] };
  let at = headLength;
  const tensors = outputs.map(({ name, datatype, shape, parameters: { binary_data_size: size } }) => {
    // A copy begins where every kind of array may begin.
    const bytes = body.slice(at, (at += size));
    return [name, { shape, data: views[datatype]!(bytes) }] as const;
  });
  return Object.fromEntries(tensors) as unknown as Outputs;
}

const views: Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => Numbers | readonly string[]>> = {
  BOOL: (bytes) => bytes,
  UINT8: (bytes) => bytes,
  UINT16: ({ buffer }) => new Uint16Array(buffer),
  UINT32: ({ buffer }) => new Uint32Array(buffer),
  UINT64: ({ buffer }) => new BigUint64Array(buffer),
  INT8: ({ buffer }) => new Int8Array(buffer),
  INT16: ({ buffer }) => new Int16Array(buffer),
  INT32: ({ buffer }) => new Int32Array(buffer),
  INT64: ({ buffer }) => new BigInt64Array(buffer),
  FP16: ({ buffer }) => new Uint16Array(buffer),
  BF16: ({ buffer }) => new Uint16Array(buffer),
  FP32: ({ buffer }) => new Float32Array(buffer),
  FP64: ({ buffer }) => new Float64Array(buffer),
  BYTES: (bytes) => {
    const texts: string[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = new DataView(bytes.buffer).getUint32(at, true);
      texts.push(new TextDecoder().decode(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    return texts;
  },
};

async function errorOf(response: Response): Promise<InferError> {
  const body = (await response.json().catch(() => ({}))) as { readonly error?: unknown };
  const retryAfter = Number(response.headers.get('Retry-After') ?? NaN);
  return new InferError(typeof body.error === 'string' ? body.error : 'status ' + response.status, response.status, Number.isNaN(retryAfter) ? undefined : retryAfter);
}
`;
