/** What is to be run and where: the border between those who ask for deployable files and those who write them. */
import { posix, relative, sep } from 'node:path';
import { parseConfig } from '../config/read-config.js';
import type { ServerOptions } from '../config/schema.js';
import type { Plan } from '@penjing/parallel';
import { nameOf } from '../models/shelf.js';

export interface DeployedModel {
  /** That of its folder when absent. */
  readonly name?: string | undefined;
  /** Absolute: a model folder, or an ONNX file in `folder`. */
  readonly path: string;
  /** All that the model needs lies in it. */
  readonly folder: string;
  /** The ONNX file and its external data. */
  readonly bytes: number;
  readonly variant?: string | undefined;
}

export interface DeploymentOptions {
  /** Of the service. */
  readonly name: string;
  readonly models: readonly DeployedModel[];
  readonly port: number;
  readonly drainSeconds: number;
  /** Of each model. */
  readonly threads: number;
  /** systemd: the executable, and who runs it; a user of the service's own when absent. */
  readonly command: string;
  readonly user?: string | undefined;
  /** Containers: the image, how many of them (Kubernetes), and what holds the models there. */
  readonly image: string;
  readonly replicas: number;
  readonly claim: string;
  /** Kubernetes: a pipeline over pods, as `penjing plan` has it. */
  readonly plan?: DeployedPlan | undefined;
  /** Kubernetes, KServe: as many as the requests that wait need, or the jobs, instead of `replicas`. */
  readonly scale?: { readonly min: number; readonly max: number; readonly prometheus?: string | undefined } | undefined;
  /** Kubernetes: workers of a fleet instead of a server; there are no models then. */
  readonly fleet?: FleetDeployment | undefined;
}

export interface DeployedPlan {
  readonly plan: Plan;
  /** Its file. */
  readonly text: string;
}

export interface FleetDeployment {
  /** `nats://HOST:4222`. */
  readonly servers: string;
  readonly fleet: string;
  /** `HOST:PORT` of the server's monitoring, by which workers are counted. */
  readonly monitor: string;
  /** Workers show who they are. */
  readonly nkey: boolean;
}

export interface DeployedFile {
  readonly path: string;
  readonly text: string;
}

export interface Deployed {
  readonly files: readonly DeployedFile[];
  /** What is left to do, for people. */
  readonly next: readonly string[];
}

/** In containers. */
export const CONFIG_FOLDER = '/etc/penjing';
export const MODELS_FOLDER = '/models';

export function modelName({ name, path }: DeployedModel): string {
  return name ?? nameOf(path);
}

/** Where the folder of a model is mounted, and what of it is the model. */
export function mountOf(model: DeployedModel): { readonly folder: string; readonly path: string } {
  const folder = posix.join(MODELS_FOLDER, modelName(model));
  return { folder, path: posix.join(folder, relative(model.folder, model.path).split(sep).join('/')) };
}

/** The server's configuration file. Throws `E_CONFIG`, as the server would. */
export function configText({ models, threads, drainSeconds, port }: DeploymentOptions, host: string, pathOf: (model: DeployedModel) => string, stages?: { readonly plan: string; readonly addresses: string[] }): string {
  const config: ServerOptions = {
    host, port, drainMs: drainSeconds * 1000,
    // Metrics and administration stay off the port that everybody reaches.
    ...(host !== '127.0.0.1' && { admin: { host, port: port + 1 } }),
    models: models.map((model) => ({ name: modelName(model), path: pathOf(model), threads, ...(model.variant !== undefined && { variant: model.variant }), ...(stages && { stages }) })),
  };
  parseConfig(config);
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
