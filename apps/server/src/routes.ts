/** The APIs of the server, one line each. */
import type { RouteModule } from './context.js';
import { health } from './http/health.js';
import { models } from './openai/models.js';
import { exposition } from './operate/exposition.js';
import { repository } from './operate/repository.js';
import { modelPages } from './page/model-routes.js';
import { repositoryControl, repositoryIndex } from './v2/repository.js';
import { v2 } from './v2/rest.js';

export const routes: readonly RouteModule[] = [health, models, v2, repositoryIndex, modelPages];

/** On the listener for administration; on the main one when that is local and there is no other. */
export const adminRoutes: readonly RouteModule[] = [exposition, repository, repositoryControl];
