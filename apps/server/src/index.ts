/** @penjing/server: models behind the APIs of OpenAI and the Open Inference Protocol, one process per model. */
export { type Address, createServer, type PenjingServer, type Surroundings } from './create-server.js';
export type { ModelEntry, ModelOptions, ServerConfig, ServerOptions } from './config/schema.js';
export { type ConfigSources, hashOfKey, readServerConfig } from './config/read-config.js';
export type { RequestVariables, RouteModule, ServerApp, ServerContext } from './context.js';
export { clientSignature, type ClientSignature, type ClientTensor, parseSignature, renderClient } from './client/render-client.js';
export { nameOf } from './models/shelf.js';
export { version } from './version.js';
export type { Deployed, DeployedFile, DeployedModel, DeployedPlan, DeploymentOptions, FleetDeployment } from './deploy/deployment.js';
export { readDeployedPlan } from './deploy/read-deployed-plan.js';
export { renderDeployment, type DeployTarget } from './deploy/render-deployment.js';
