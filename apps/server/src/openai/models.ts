/** GET /v1/models and /v1/models/{model}. */
import type { RouteModule } from '../context.js';
import type { ServedModel } from '../models/served-model.js';

export const models: RouteModule = (app, context) => {
  const created = Math.floor(Date.now() / 1000);
  const entry = (model: ServedModel): object => {
    const { identity: { name }, description } = model;
    const ladder = context.models.ladderOf(model);
    return {
      id: name,
      object: 'model',
      created,
      owned_by: 'penjing',
      ...(description && { task: description.task, ...(description.contextLength !== undefined && { context_length: description.contextLength }) }),
      ...(ladder && { variants: ladder.rungs.map(({ identity: { rung } }) => ({ variant: rung!.variant, ...(rung!.loss !== undefined && { loss: rung!.loss }) })) }),
    };
  };
  app.get('/v1/models', (c) => {
    const names = [...new Set(context.models.list().filter(({ state }) => state === 'READY').map(({ identity: { name } }) => name))];
    return c.json({ object: 'list', data: names.map((name) => entry(context.models.get(name))) });
  });
  app.get('/v1/models/:model', (c) => c.json(entry(context.models.get(c.req.param('model')))));
};
