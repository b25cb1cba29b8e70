/** The configuration of the server: one schema for its file, the environment and the command line. */
import { z } from 'zod';
import { aliasSets } from '../operate/metric-aliases.js';

/** What a model may be called: it stands in paths (where . and .. are folders), metrics and logs. */
export const MODEL_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;

const port = z.int().min(0).max(65_535);

/** How single requests for tensors are put together (dynamic batching). */
const batchingSchema = z.strictObject({
  /** 'auto': where dimension 0 of all inputs and outputs is one named batch (N, batch, batch_size, …). 'on': dimension 0 is the batch, whatever it is called. */
  enabled: z.enum(['auto', 'on', 'off']).default('auto'),
  /** Rows of a batch. */
  maxBatch: z.int().min(1).max(65_536).default(32),
  /** How long a request waits for others although the model is free; with 0 batches form of what comes while it is busy. */
  maxDelayMs: z.number().min(0).max(60_000).default(0),
  /** Sizes at which a batch goes without waiting. */
  preferred: z.array(z.int().min(1).max(65_536)).max(64).default([]),
  /** Batches on their way at a time; with two, the next is there when one is done. */
  lanes: z.int().min(1).max(64).default(2),
  /** Levels of `priority`: 1 is the most urgent, the middle one is that of requests without. */
  priorities: z.int().min(1).max(100).default(3),
});

/** A variant to which requests go when there are too many for the one before. */
const rungSchema = z.strictObject({
  /** What replies call it; without `path` also the file of the model's folder. */
  variant: z.string().regex(/^[A-Za-z0-9_]{1,64}$/),
  /** Another model of the same inputs and outputs: a student. */
  path: z.string().min(1).optional(),
  /** What it lost, as measured; read from `reports/VARIANT.json` in the model's folder when absent. */
  loss: z.number().optional(),
});

/** When a ladder is used. */
const overloadSchema = z.strictObject({
  /** Requests that wait, and for how long they do so: then the next ones go a step down. */
  waiting: z.int().min(1).max(65_536).default(8),
  afterMs: z.int().min(0).max(600_000).default(1000),
  /** How long nothing waits until they go a step up again. */
  calmMs: z.int().min(0).max(3_600_000).default(10_000),
  /** Loads the lower variants at the start; otherwise with the first overload. */
  warm: z.boolean().default(false),
});

/** How one model is served; the content of `serve.json` in a repository. */
export const modelOptionsSchema = z.strictObject({
  /** What it is for; told from the folder when absent. */
  task: z.enum(['text-generation', 'embedding', 'tensors']).optional(),
  /** Which file of the folder: 'fp32', 'q8', 'q4', … */
  variant: z.string().regex(/^[A-Za-z0-9_]{1,64}$/).optional(),
  /** Threads of a run; the cores that there are when absent. */
  threads: z.int().min(1).max(1024).optional(),
  device: z.enum(['cpu', 'webgpu', 'cuda', 'directml', 'coreml', 'auto']).optional(),
  /** Of a model that writes: bytes for what it read before, so that a text that begins alike goes on from there. 256 MiB when absent; 0 keeps none. */
  prefixCacheBytes: z.int().min(0).max(2 ** 40).optional(),
  /** Of a model that writes: keys and values in bytes, a quarter of the memory. As the model has them when absent. */
  kvCache: z.literal('int8').optional(),
  /** Requests that the model works on at a time; more wait. */
  maxConcurrent: z.int().min(1).max(4096).default(8),
  /** Requests that wait; more are refused with 429. */
  maxQueue: z.int().min(0).max(65_536).default(64),
  batching: batchingSchema.prefault({}),
  /** Cheaper variants, the best first; replies name the one that answered. */
  ladder: z.array(rungSchema).max(8).default([]),
  overload: overloadSchema.prefault({}),
  /** Of a model for tensors: stages of a plan (its path is read as `plan` is) that run elsewhere (`penjing worker --stage`), and where the first of them is; then only names are taken from `path`. The token of the stages is PENJING_STAGE_TOKEN. */
  stages: z.strictObject({ plan: z.string().min(1), addresses: z.array(z.string().min(1)).min(1).max(64), ca: z.string().min(1).optional(), cert: z.string().min(1).optional(), key: z.string().min(1).optional() }).optional(),
  /** Of a model for tensors: a plan (`penjing plan`) for the cores of this machine: replicas, stages, branches or shards. In a repository its path begins at the repository's folder and stays inside, as those of ladders do. It shares out the threads itself. */
  plan: z.string().min(1).optional(),
  /** In a repository: the newest so many versions. */
  versions: z.int().min(1).max(64).default(1),
});

export const modelEntrySchema = modelOptionsSchema.extend({
  name: z.string().regex(MODEL_NAME).optional(),
  path: z.string().min(1),
});

const scope = z.enum(['infer', 'admin', 'metrics']);

const keySchema = z.strictObject({
  /** For logs: never the key. */
  name: z.string().min(1).max(64),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(scope).default(['infer', 'metrics']),
});

const limitsSchema = z.strictObject({
  /** Bytes of a body. 64 MiB, as Triton's default. */
  bodyBytes: z.int().min(1024).max(2 ** 31).default(64 * 2 ** 20),
  /** Bytes of a body that is JSON: parsing 8 MB takes 70 ms, for which nothing else is answered. */
  jsonBytes: z.int().min(1024).max(2 ** 29).default(8 * 2 ** 20),
  /** Levels of JSON; tools and schemas have some 20. */
  jsonDepth: z.int().min(4).max(1000).default(100),
  /** Bytes of all headers together. */
  headerBytes: z.int().min(1024).max(2 ** 20).default(16 * 2 ** 10),
  headers: z.int().min(8).max(2000).default(100),
  /** Pieces in which a body arrives. */
  bodyChunks: z.int().min(16).max(2 ** 20).default(65_536),
  /** Until the headers are there, and until the whole request is. */
  headersMs: z.int().min(10).max(600_000).default(15_000),
  requestMs: z.int().min(10).max(3_600_000).default(120_000),
  connections: z.int().min(1).max(1_000_000).default(10_000),
});

/** Where spans go, by OTLP over HTTP. */
const tracesSchema = z.strictObject({
  /** With its path: `http://collector:4318/v1/traces`. */
  endpoint: z.url({ protocol: /^https?$/ }),
  serviceName: z.string().min(1).max(128).default('penjing'),
  /** Of the traces that begin here; those of others are as they say. */
  share: z.number().min(0).max(1).default(1),
});

export const serverConfigSchema = z.strictObject({
  /** Where to listen. Another address than this machine's own needs a key. */
  host: z.string().min(1).default('127.0.0.1'),
  port: port.default(8080),
  /** A listener for loading and unloading models and for metrics; on the main one when that is local and this is absent. */
  admin: z.strictObject({ host: z.string().min(1).default('127.0.0.1'), port }).optional(),
  /** A listener for gRPC, at the same address when that is absent; there is none when this is. */
  grpc: z.strictObject({ host: z.string().min(1).optional(), port: port.default(8001) }).optional(),
  tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
  keys: z.array(keySchema).max(10_000).default([]),
  /** Listens publicly although no key is asked for. */
  allowPublicWithoutKey: z.boolean().default(false),
  cors: z.strictObject({ origins: z.array(z.string().min(1)).max(100).default([]) }).prefault({}),
  models: z.array(modelEntrySchema).max(1000).default([]),
  /** A folder with a folder for each model. */
  repository: z.string().min(1).optional(),
  /** 'process': each model in a process of its own. 'thread': in a thread of this one. */
  isolation: z.enum(['process', 'thread']).default('process'),
  limits: limitsSchema.prefault({}),
  /** Milliseconds that requests in flight have, once the server is told to end. */
  drainMs: z.int().min(0).max(3_600_000).default(30_000),
  traces: tracesSchema.optional(),
  /** Metrics by the names of other servers too: Triton's (nv_*) and vLLM's (vllm:*). */
  metricAliases: z.array(z.enum(aliasSets)).default([]),
  log: z.strictObject({ level: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info') }).prefault({}),
}).transform((config) => ({ ...config, grpc: config.grpc && { ...config.grpc, host: config.grpc.host ?? config.host } }));

export type ServerConfig = z.output<typeof serverConfigSchema>;
/** What `createServer` takes: all that has a default may be left out. */
export type ServerOptions = z.input<typeof serverConfigSchema>;
export type ModelOptions = z.output<typeof modelOptionsSchema>;
export type ModelEntry = z.output<typeof modelEntrySchema>;
export type Scope = z.output<typeof scope>;
export type Limits = ServerConfig['limits'];
