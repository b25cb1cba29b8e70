/** GET /penjing/models/…: what the page shows of models beyond the APIs: what each can do, its graphs, its reports. */
import { isPenjingError, PenjingError } from '@penjing/core';
import { type DescribedGraph, type GraphFile, listGraphs, lookAtGraph } from '@penjing/recipe/graphs';
import type { RouteModule, ServerApp, ServerContext } from '../context.js';
import type { ModelDescription } from '../host/protocol.js';
import type { ServedModel } from '../models/served-model.js';
import { readReport, reportNames } from './reports.js';
import { SharedAnswers } from './shared-answers.js';

/** To read a graph takes a tenth of a second, of the largest some seconds. */
const LOOK_MS = 60_000;

// Half a minute: who looks at a model asks several times, and a model that was replaced is seen soon.
const sharing = { kept: 8, forMs: 30_000, running: 2, waiting: 16 };

export const modelPages: RouteModule = (app, context) => {
  const { models } = context;
  const lists = new SharedAnswers<readonly GraphFile[]>(sharing);
  const graphs = new SharedAnswers<DescribedGraph>(sharing);

  app.get('/penjing/models', async (c) => {
    const served = new Map(models.list().map((model) => [`${model.identity.name}/${model.identity.version}`, model]));
    const index = await models.index();
    return c.json({
      models: index.map(({ name, version, state, reason }) => ({ name, version, state, ...(reason !== '' && { reason }), ...factsOf(served.get(`${name}/${version}`)) })),
      // Administration may be on another listener.
      manage: has(app, '/admin/models/:name/load'),
    });
  });

  app.get('/penjing/models/:model/graphs', async (c) => {
    const { identity } = models.get(c.req.param('model'));
    const [files, reports] = await Promise.all([lists.get(identity.path, () => told(context, identity.name, () => listGraphs(identity.path, { signal: AbortSignal.timeout(LOOK_MS) }))), reportNames(identity.path)]);
    const wanted = identity.options.variant ?? 'fp32';
    const serving = files.find(({ variant }) => variant === wanted) ?? (files.length === 1 ? files[0] : undefined);
    return c.json({ graphs: files.map((file) => ({ ...file, report: reports.has(file.variant), serving: file === serving })) });
  });

  app.get('/penjing/models/:model/graph', async (c) => {
    const { identity } = models.get(c.req.param('model'));
    const graph = c.req.query('graph');
    if (graph !== undefined && graph.length > 512) throw new PenjingError('E_ROUTE', 'the model has no such graph');
    const key = `${identity.path}\n${graph ?? ''}`;
    return c.json(await graphs.get(key, () => told(context, identity.name, () => lookAtGraph(identity.path, graph, { signal: AbortSignal.timeout(LOOK_MS) }))));
  });

  app.get('/penjing/models/:model/reports/:variant', async (c) => {
    const html = await readReport(models.get(c.req.param('model')).identity.path, c.req.param('variant'));
    // The page takes it apart; who opens it by its address gets it without scripts, links to the server, or an origin.
    return c.body(html, 200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox", 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store' });
  });
};

/** What a model can be asked for, by the words of the page. */
function tasksOf({ task, hasChatTemplate }: ModelDescription): string[] {
  if (task === 'text-generation') return [...(hasChatTemplate ? ['chat'] : []), 'completions'];
  return task === 'embedding' ? ['embeddings', 'infer'] : ['infer'];
}

function factsOf(model: ServedModel | undefined): object {
  const { description } = model ?? {};
  const memoryBytes = model?.health()?.memory?.rss;
  return {
    tasks: description ? tasksOf(description) : [],
    ...(description && { bytes: description.bytes, ...(description.contextLength !== undefined && { contextLength: description.contextLength }) }),
    ...(memoryBytes !== undefined && { memoryBytes }),
  };
}

/** Paths of this machine stay in the log; the client learns which model it was. */
async function told<T>({ logger }: ServerContext, model: string, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (isPenjingError(error) && error.code === 'E_NOT_FOUND' && error.message.startsWith('the model')) throw new PenjingError('E_ROUTE', error.message, error.hint === undefined ? {} : { hint: error.hint });
    logger.warn({ model, error: error instanceof Error ? error.message : String(error) }, 'the graphs cannot be read');
    throw new PenjingError('E_GRAPH', `the graphs of model ${model} cannot be read`, { hint: 'The log of the server says why.' });
  }
}

function has(app: ServerApp, path: string): boolean {
  return app.routes.some((route) => route.path === path);
}
