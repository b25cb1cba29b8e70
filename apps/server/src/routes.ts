/** The APIs of the server, one line each. */
import type { RouteModule } from './context.js';
import { health } from './http/health.js';
import { chat } from './openai/chat.js';
import { completions } from './openai/completions.js';
import { embeddings } from './openai/embeddings.js';
import { models } from './openai/models.js';
import { openAiOperations } from './openai/operations.js';
import { exposition } from './operate/exposition.js';
import { openApi, type Operation } from './operate/openapi.js';
import { adminOperations, probeOperations } from './operate/operations.js';
import { repository } from './operate/repository.js';
import { modelPages } from './page/model-routes.js';
import { pageOperations } from './page/operations.js';
import { v2AdminOperations, v2Operations } from './v2/operations.js';
import { repositoryControl, repositoryIndex } from './v2/repository.js';
import { v2 } from './v2/rest.js';

/** What the OpenAPI document tells; a test compares it with the routes. */
export const operations: readonly Operation[] = [...probeOperations, ...openAiOperations, ...v2Operations, ...pageOperations, ...adminOperations, ...v2AdminOperations];

export const routes: readonly RouteModule[] = [health, models, chat, completions, embeddings, v2, repositoryIndex, modelPages, openApi(operations)];

/** On the listener for administration; on the main one when that is local and there is no other. */
export const adminRoutes: readonly RouteModule[] = [exposition, repository, repositoryControl];
