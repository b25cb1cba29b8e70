/** GET /metrics, as Prometheus reads it. */
import type { RouteModule } from '../context.js';

export const exposition: RouteModule = (app, { metrics }) => {
  app.get('/metrics', async (c) => c.body(await metrics.registry.metrics(), 200, { 'Content-Type': metrics.registry.contentType }));
};
