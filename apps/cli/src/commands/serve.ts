/** `penjing serve`: models behind HTTP, until it is told to end. */
import { setFlagsFromString } from 'node:v8';
import type { ServerOptions } from '@penjing/server';
import type { Command } from '../command.js';
import { namedPath } from '../named-path.js';
import { common, deviceOf, filled, integer, kvCacheOf, listOf, names, numberOf, prefixCacheOf, textOf } from '../options.js';

export const serve: Command = {
  name: 'serve',
  summary: 'serve models over HTTP: the API of OpenAI, and tensors',
  arguments: [{ name: '[model...]', help: 'model folders or .onnx files, as path or name=path' }],
  options: [
    { flags: '--repository <dir>', help: 'serve what is in this folder: DIR/NAME, or DIR/NAME/1, DIR/NAME/2, … with DIR/NAME/serve.json', parse: filled },
    { flags: '--config <file.json>', help: 'configuration; options of the command line go before it' },
    { flags: '--host <address>', help: 'where to listen (127.0.0.1)', parse: filled, group: 'Network' },
    { flags: '--port <n>', help: 'the port (8080); 0 takes a free one', parse: integer(0, 65_535), group: 'Network' },
    { flags: '--grpc-port <n>', help: 'gRPC of the Open Inference Protocol on a port of its own, at the same address unless the configuration names another', parse: integer(0, 65_535), group: 'Network' },
    { flags: '--admin-port <n>', help: 'load, unload and metrics on a port of their own, on 127.0.0.1', parse: integer(0, 65_535), group: 'Network' },
    { flags: '--cors <origin>', help: 'let pages of this origin ask; may be repeated', repeat: true, group: 'Network' },
    { flags: '--tls-cert <file>', help: 'certificate, for https', group: 'Network' },
    { flags: '--tls-key <file>', help: 'its key', group: 'Network' },
    { flags: '--allow-public-without-key', help: 'listen on a public address although no API key is set (PENJING_API_KEY)', group: 'Network' },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of folders with several', group: 'Models' },
    { flags: '--plan <file>', help: 'run models for tensors as a plan (penjing plan) for the cores of this machine says: replicas, stages, branches, shards', parse: filled, group: 'Models' },
    { flags: '--ladder <names>', help: 'cheaper variants of the folders, the best first, as q8,q4: under overload requests go there before any is refused', parse: names, group: 'Models' },
    { flags: '--ladder-warm', help: 'load them at the start, not with the first overload', group: 'Models' },
    { flags: '--max-concurrent <n>', help: 'requests that a model works on at a time (8)', parse: integer(1, 4096), group: 'Models' },
    { flags: '--max-queue <n>', help: 'requests that wait for a model; more are refused with 429 (64)', parse: integer(0, 65_536), group: 'Models' },
    { ...common.prefixCache, group: 'Models' },
    { ...common.kvCache, group: 'Models' },
    { ...common.device, group: 'Models' },
    { ...common.threads, group: 'Models' },
    { flags: '--drain <seconds>', help: 'how long requests in flight may go on when the server is told to end (30)', parse: integer(0, 3600) },
    { flags: '--traces <url>', help: 'send spans by OTLP over HTTP there, as http://127.0.0.1:4318/v1/traces (or OTEL_EXPORTER_OTLP_ENDPOINT)', parse: filled },
    { flags: '--metric-aliases <names>', help: "metrics by the names of other servers too: nv (Triton's), vllm", parse: names },
    { flags: '--log-level <level>', help: 'how much is logged, on stderr', choices: ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] },
  ],
  examples: ['penjing serve out/sapling', 'penjing serve chat=out/qwen words=out/minilm --port 9000', 'penjing serve model.onnx --plan plan.json', 'PENJING_API_KEY=… penjing serve --repository models --host 0.0.0.0'],
  async run({ arguments: paths, options, signal, note }) {
    // The other verbs keep V8's young heap as small as it begins (see main.ts). A server that answers thousands of requests a second fills that every 4 ms: a fifth of its time went into emptying it.
    setFlagsFromString('--semi-space-growth-factor=2');
    const { createServer, nameOf, readServerConfig } = await import('@penjing/server');
    const config = await readServerConfig({ file: textOf(options, 'config'), environment: process.env, options: optionsOf(paths, options) });
    const server = createServer(config, { ownsProcess: true });
    try {
      await server.check();
      const { main, admin, grpc } = await server.listen();
      note(`listening on ${main.url}${grpc ? `, gRPC on ${grpc.host}:${grpc.port}` : ''}${admin ? `, administration on ${admin.url}` : ''}`);
      const [loaded] = await Promise.allSettled([server.load()]);
      for (const { name, state, reason } of await server.models.index()) if (state === 'UNAVAILABLE') note(`not served: ${name}: ${reason}`);
      // One that cannot be loaded is a mistake of who named it; one of the repository hides no other.
      const isReady = (name: string): boolean => server.models.list().some(({ identity, state }) => identity.name === name && state === 'READY');
      if (loaded.status === 'rejected' && !server.config.models.every(({ name, path }) => isReady(name ?? nameOf(path)))) throw loaded.reason;
      note(`ready: ${[...new Set(server.models.list().filter(({ state }) => state === 'READY').map(({ identity: { name } }) => name))].join(', ') || 'no model'}`);
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      note('ending: what is in flight goes on to its end');
    } finally {
      await server.close();
    }
    return { json: { served: server.models.list().map(({ identity: { name, version } }) => ({ name, version })) }, text: '' };
  },
};

function optionsOf(paths: readonly string[], options: Readonly<Record<string, unknown>>): ServerOptions {
  const shared = { variant: textOf(options, 'variant'), plan: textOf(options, 'plan'), threads: numberOf(options, 'threads'), device: deviceOf(options), ...prefixCacheOf(options), ...kvCacheOf(options), maxConcurrent: numberOf(options, 'maxConcurrent'), maxQueue: numberOf(options, 'maxQueue'), ladder: ladderOf(options), overload: options['ladderWarm'] === true ? { warm: true } : undefined };
  const [origins, cert, key, adminPort, grpcPort, drain] = [listOf(options, 'cors'), textOf(options, 'tlsCert'), textOf(options, 'tlsKey'), numberOf(options, 'adminPort'), numberOf(options, 'grpcPort'), numberOf(options, 'drain')];
  const given: ServerOptions = {
    ...(paths.length > 0 && { models: paths.map((path) => ({ ...defined(shared), ...namedPath(path) })) }),
    repository: textOf(options, 'repository'),
    host: textOf(options, 'host'),
    port: numberOf(options, 'port'),
    ...(grpcPort !== undefined && { grpc: { port: grpcPort } }),
    ...(adminPort !== undefined && { admin: { port: adminPort } }),
    ...(origins.length > 0 && { cors: { origins: [...origins] } }),
    ...(cert !== undefined && key !== undefined && { tls: { cert, key } }),
    ...(options['allowPublicWithoutKey'] === true && { allowPublicWithoutKey: true }),
    ...(drain !== undefined && { drainMs: drain * 1000 }),
    ...(textOf(options, 'traces') !== undefined && { traces: { endpoint: textOf(options, 'traces')! } }),
    ...(Array.isArray(options['metricAliases']) && { metricAliases: options['metricAliases'] as 'nv'[] }),
    ...(textOf(options, 'logLevel') !== undefined && { log: { level: textOf(options, 'logLevel') as 'info' } }),
  };
  return defined(given);
}

function ladderOf({ ladder }: Readonly<Record<string, unknown>>): { variant: string }[] | undefined {
  return Array.isArray(ladder) ? ladder.map((variant) => ({ variant: String(variant) })) : undefined;
}

/** What is undefined must not hide the configuration's file. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
