/** The configuration from its file, the environment and options: the later of these go before the earlier. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';
import { z } from 'zod';
import { type ServerConfig, type ServerOptions, serverConfigSchema } from './schema.js';

/** Environment variables and where they go. */
const variables: Readonly<Record<string, (text: string) => ServerOptions>> = {
  PENJING_SERVER_HOST: (host) => ({ host }),
  PENJING_SERVER_PORT: (text) => ({ port: Number(text) }),
  PENJING_SERVER_REPOSITORY: (repository) => ({ repository }),
  PENJING_SERVER_LOG_LEVEL: (level) => ({ log: { level: level as 'info' } }),
  /** The key itself; only its hash is kept. */
  PENJING_API_KEY: (key) => ({ keys: [{ name: 'environment', sha256: hashOfKey(key), scopes: ['infer', 'admin', 'metrics'] }] }),
};

export function hashOfKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** The standard variables of OpenTelemetry, for a configuration that says nothing of traces. */
function tracesFrom(environment: Readonly<Record<string, string | undefined>>): ServerOptions {
  const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole, OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_SERVICE_NAME: serviceName } = environment;
  const endpoint = whole || (base && `${base.replace(/\/$/, '')}/v1/traces`);
  return endpoint ? { traces: { endpoint, ...(serviceName && { serviceName }) } } : {};
}

export interface ConfigSources {
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly options?: ServerOptions;
}

/** Throws `E_CONFIG` naming the field. */
export async function readServerConfig({ file, environment = {}, options = {} }: ConfigSources): Promise<ServerConfig> {
  const fromFile = file === undefined ? {} : await readConfigFile(file);
  const fromEnvironment = Object.entries(variables).flatMap(([name, read]) => (environment[name] ? [read(environment[name])] : []));
  return parseConfig(Object.assign({}, tracesFrom(environment), fromFile, ...fromEnvironment, options, grpcOf(fromFile, options)) as object);
}

/** A port that is given leaves the file's address as it is. */
function grpcOf({ grpc: below }: { readonly grpc?: unknown }, { grpc: above }: ServerOptions): ServerOptions {
  return above && typeof below === 'object' ? { grpc: { ...below, ...above } } : {};
}

/** Throws `E_CONFIG` naming the field. */
export function parseConfig(options: object): ServerConfig {
  const parsed = serverConfigSchema.safeParse(options);
  if (parsed.success) return parsed.data;
  throw new PenjingError('E_CONFIG', `the server's configuration is wrong: ${issuesOf(parsed.error)}`);
}

/** Each fault with its place. */
export function issuesOf(error: z.ZodError): string {
  return error.issues.slice(0, 8).map(({ path, message }) => `${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`).join('; ');
}

async function readConfigFile(file: string): Promise<object> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `the configuration ${file} cannot be read`, { cause });
  });
  try {
    return z.looseObject({}).parse(JSON.parse(text));
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `${file} holds no JSON object`, { cause });
  }
}
