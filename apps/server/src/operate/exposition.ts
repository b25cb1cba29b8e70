/** GET /metrics, as Prometheus reads it. */
import type { RouteModule } from '../context.js';
import { nvAliases, type NvFacts, vllmAliases } from './metric-aliases.js';

export const exposition: RouteModule = (app, { metrics, models, inference, config: { metricAliases } }) => {
  const nvFacts = (): NvFacts[] => models.list().map((model) => ({ statistics: inference.statistics(model), waiting: models.variantsOf(model).reduce((sum, variant) => sum + inference.waiting(variant), 0) }));
  app.get('/metrics', async (c) => {
    const own = await metrics.registry.metrics();
    const text = own + (metricAliases.includes('nv') ? nvAliases(nvFacts()) : '') + (metricAliases.includes('vllm') ? vllmAliases(own) : '');
    return c.body(text, 200, { 'Content-Type': metrics.registry.contentType });
  });
};
