/** Models for those who run the server: what there is, loading, unloading. */
import type { RouteModule } from '../context.js';
import type { Ladder } from '../models/ladder.js';
import { workOf } from '../models/model-work.js';

export const repository: RouteModule = (app, { models, inference }) => {
  app.get('/admin/models', async (c) => {
    const loaded = models.list().map((model) => ({
      name: model.identity.name,
      version: model.identity.version,
      state: model.state,
      reason: model.reason,
      restarts: model.restarts,
      ...workOf(model, inference),
      ...(model.description && { task: model.description.task, bytes: model.description.bytes }),
      memoryBytes: model.health()?.memory?.rss,
      ...ladderFacts(models.ladderOf(model)),
    }));
    return c.json({ models: loaded, index: await models.index() });
  });
  app.post('/admin/models/:name/load', async (c) => {
    const loaded = await models.load(c.req.param('name'));
    return c.json({ models: loaded.map(({ identity: { name, version }, state }) => ({ name, version, state })) });
  });
  app.post('/admin/models/:name/unload', async (c) => {
    await models.unload(c.req.param('name'));
    return c.json({});
  });
};

/** Which variants there are, and which answers now. */
function ladderFacts(ladder: Ladder | undefined): object {
  if (!ladder) return {};
  return { answering: ladder.rungs[ladder.step]!.variant, variants: ladder.rungs.map((model) => ({ ...model.identity.rung, state: model.state, reason: model.reason, memoryBytes: model.health()?.memory?.rss })) };
}
