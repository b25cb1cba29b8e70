/** The model repository extension: what there is, loading and unloading. Files are never taken from requests. */
import { PenjingError } from '@penjing/core';
import { z } from 'zod';
import type { RouteModule, ServerContext } from '../context.js';
import { parseJson, parseWith, readBody } from '../http/body.js';

const parameter = z.union([z.string(), z.number(), z.boolean()]);
export const indexSchema = z.object({ ready: z.boolean().default(false) });
export const loadSchema = z.object({ parameters: z.record(z.string(), parameter).default({}) });

/** The index may be read by everybody who may ask for inferences. */
export const repositoryIndex: RouteModule = (app, { models, config: { limits } }) => {
  app.post('/v2/repository/index', async (c) => {
    const { ready } = parseWith(indexSchema, await jsonOf(c.req.raw, limits));
    return c.json(indexOf(await models.index(), ready));
  });
};

/** Loading and unloading are for administrators. */
export const repositoryControl: RouteModule = (app, context) => {
  const { models, config: { limits } } = context;
  for (const verb of ['load', 'unload'] as const) {
    app.post(`/v2/repository/models/:model/${verb}`, async (c) => {
      checkRepositoryParameters(parseWith(loadSchema, await jsonOf(c.req.raw, limits)).parameters);
      await models[verb](c.req.param('model'));
      return c.json({});
    });
  }
};

/** Throws `E_UNSUPPORTED` for files and configurations in a request: they would be a way to put code or paths onto this machine. */
export function checkRepositoryParameters(parameters: object = {}): void {
  const files = Object.keys(parameters).some((name) => name.startsWith('file:'));
  if (files) throw new PenjingError('E_UNSUPPORTED', 'the request brings a file of a model', { hint: 'Put files into the repository folder, and ask for the load.' });
  if ('config' in parameters) throw new PenjingError('E_UNSUPPORTED', 'the request brings a configuration', { hint: 'Write it into serve.json of the model in the repository folder, and ask for the load.' });
}

/** As the protocol says it; models that only lie in the folder have no state. */
export function indexOf(entries: Awaited<ReturnType<ServerContext['models']['index']>>, readyOnly: boolean): { name: string; version: string; state: string; reason: string }[] {
  return entries.filter(({ state }) => !readyOnly || state === 'READY').map(({ name, version, state, reason }) => ({ name, version, state, reason }));
}

/** The body may be empty. */
async function jsonOf(request: Request, limits: ServerContext['config']['limits']): Promise<unknown> {
  const bytes = await readBody(request, { ...limits, bodyBytes: Math.min(limits.bodyBytes, limits.jsonBytes) });
  return bytes.length === 0 ? {} : parseJson(bytes, limits);
}
