/** The Open Inference Protocol V2 over HTTP, with the binary tensor extension and the statistics, repository and configuration of Triton. */
import { PenjingError } from '@penjing/core';
import { binaryOutputs, decodeInferRequest, decodeRawRequest, encodeInferResponse, type InferRequest, type V2Body } from '@penjing/graph-io/v2';
import type { Context } from 'hono';
import type { RequestVariables, RouteModule, ServerContext } from '../context.js';
import { readBody } from '../http/body.js';
import { variantHeader } from '../http/variant-header.js';
import type { ServedModel } from '../models/served-model.js';
import { type InferTimings } from './inference.js';
import { serverMetadata } from './server-metadata.js';
import { configOf, metadataOf, rawInputs } from './signature.js';
import { snakeCase } from './statistics.js';

type V2Context = Context<{ Variables: RequestVariables }>;

const HEADER = 'inference-header-content-length';

export const v2: RouteModule = (app, context) => {
  const { inference, models } = context;
  const modelOf = (c: V2Context): ServedModel => models.get(c.req.param('model')!, c.req.param('version'));
  const versionsOf = (model: ServedModel): string[] => models.list().filter(({ identity }) => identity.name === model.identity.name).map(({ identity }) => identity.version);

  app.get('/v2', (c) => c.json(serverMetadata));
  app.get('/v2/models/stats', (c) => c.json(snakeCase({ modelStats: models.list().map((model) => inference.statistics(model)) }) as object));
  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get(path, (c) => {
      const model = modelOf(c);
      return c.json(metadataOf(model.identity.name, versionsOf(model), described(model)));
    });
    app.get(`${path}/ready`, (c) => {
      const ready = modelOf(c).state === 'READY';
      return c.json({ ready }, ready ? 200 : 503);
    });
    app.get(`${path}/config`, (c) => {
      const model = modelOf(c);
      const config = configOf(model.identity.name, described(model), inference.policyOf(model));
      return c.json(snakeCase({ ...config, input: config.input?.map(withTypeName), output: config.output?.map(withTypeName) }) as object);
    });
    app.get(`${path}/stats`, (c) => {
      const [name, version] = [c.req.param('model'), c.req.param('version')];
      const found = version === undefined ? models.list().filter(({ identity }) => identity.name === name) : [models.get(name!, version)];
      if (found.length === 0) models.get(name!);
      return c.json(snakeCase({ modelStats: found.map((model) => inference.statistics(model)) }) as object);
    });
    app.post(`${path}/infer`, (c) => infer(c, context));
  }
};

async function infer(c: V2Context, { inference, config: { limits } }: ServerContext): Promise<Response> {
  const model = inference.model(c.req.param('model')!, c.req.param('version'));
  const headerLength = headerLengthOf(c.req.header(HEADER));
  const body = await readBody(c.req.raw, headerLength === undefined ? { ...limits, bodyBytes: Math.min(limits.bodyBytes, limits.jsonBytes) } : limits);
  // Bytes behind the JSON are only copied; the JSON takes as long as it does without them. A length beyond the body is refused below.
  if (headerLength !== undefined && headerLength <= body.length && headerLength > limits.jsonBytes) throw new PenjingError('E_BODY_SIZE', `the JSON of the body is larger than ${limits.jsonBytes} bytes`, { hint: 'Send tensors as binary data behind it.' });
  const request: InferRequest = headerLength === 0 ? decodeRawRequest(body, rawInputs(described(model), inference.policyOf(model) !== undefined)) : decodeInferRequest(body, headerLength);
  const { response, timings } = await inference.infer(model, request, { signal: c.get('leaving'), client: c.get('caller').name });
  return replyOf(encodeInferResponse(response, binaryOutputs(request)), timings, variantHeader(model));
}

/** A `Response` of our own rather than `c.body`, which makes `Headers` of what node:http takes as it is. */
function replyOf(reply: V2Body, { queuedMs, computeMs, batchRows, batchRequests }: InferTimings, more: Readonly<Record<string, string>>): Response {
  const { headerLength, contentType } = reply;
  // A text goes out in one piece with its head, bytes in a second one.
  const body = reply.text ?? Buffer.concat(reply.parts);
  return new Response(body, {
    headers: {
      'Content-Type': contentType,
      'Content-Length': String(Buffer.byteLength(body)),
      ...(headerLength !== undefined && { 'Inference-Header-Content-Length': String(headerLength) }),
      // A W3C standard that browsers show; `desc` counts what shared the run.
      'Server-Timing': `queue;dur=${queuedMs.toFixed(3)}, compute;dur=${computeMs.toFixed(3)}, batch;desc="${batchRows} rows of ${batchRequests} requests"`,
      ...more,
    },
  });
}

function headerLengthOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,15}$/.test(text)) throw new PenjingError('E_REQUEST', 'Inference-Header-Content-Length is no number of bytes', { details: { param: 'Inference-Header-Content-Length' } });
  return Number(text);
}

function described(model: ServedModel): NonNullable<ServedModel['description']> {
  if (model.description) return model.description;
  throw new PenjingError('E_UNAVAILABLE', `model ${model.identity.name} has not been loaded: ${model.reason}`, { details: { retryAfter: 1 } });
}

/** JSON says the names of Triton's enumeration. */
const TYPE_NAMES = ['TYPE_INVALID', 'TYPE_BOOL', 'TYPE_UINT8', 'TYPE_UINT16', 'TYPE_UINT32', 'TYPE_UINT64', 'TYPE_INT8', 'TYPE_INT16', 'TYPE_INT32', 'TYPE_INT64', 'TYPE_FP16', 'TYPE_FP32', 'TYPE_FP64', 'TYPE_STRING', 'TYPE_BF16'];

function withTypeName<T extends { dataType?: number }>(tensor: T): Omit<T, 'dataType'> & { dataType: string } {
  return { ...tensor, dataType: TYPE_NAMES[tensor.dataType ?? 0]! };
}
