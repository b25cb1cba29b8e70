/** Probes: whether the server runs, and whether everything that it shall serve is ready. */
import type { RouteModule } from '../context.js';

export const health: RouteModule = (app, { models, draining }) => {
  const ready = (): boolean => !draining() && models.ready;
  app.get('/healthz', (c) => c.json({ live: true, ready: ready() }));
  app.get('/v2/health/live', (c) => c.json({ live: true }));
  app.get('/v2/health/ready', (c) => c.json({ ready: ready() }, ready() ? 200 : 503));
};
