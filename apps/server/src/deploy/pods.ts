/** What all pods that are written have in common: who they are, what they may do, and how they end. */
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { CONFIG_FILE, USER_ID } from './container.js';
import { CONFIG_FOLDER, type DeploymentOptions, MODELS_FOLDER } from './deployment.js';
import { mib, type Resources } from './resources.js';

/** Until no proxy sends requests to a pod that ends. */
const LEAVE_SECONDS = 5;
/** After draining, for the processes of models. */
const END_SECONDS = 10;
export const PROBE_SECONDS = 5;

export type Labels = Readonly<Record<string, string>>;

export function labelsOf(name: string): Labels {
  return { 'app.kubernetes.io/name': 'penjing', 'app.kubernetes.io/instance': name };
}

export const keySecret = (name: string): string => `${name}-api-key`;

export function podOf({ name, claim, drainSeconds }: Pick<DeploymentOptions, 'name' | 'claim' | 'drainSeconds'>, labels: Labels, containers: IContainer[], { writesModels = false } = {}): IPodSpec {
  return {
    terminationGracePeriodSeconds: graceSeconds(drainSeconds),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { runAsNonRoot: true, runAsUser: USER_ID, runAsGroup: USER_ID, fsGroup: USER_ID, seccompProfile: { type: 'RuntimeDefault' } },
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: { ...labels } } }],
    containers,
    volumes: [
      ...(containers.some(({ volumeMounts = [] }) => volumeMounts.some((mount) => mount.name === 'config')) ? [{ name: 'config', configMap: { name } }] : []),
      { name: 'models', persistentVolumeClaim: { claimName: claim, ...(!writesModels && { readOnly: true }) } },
      { name: 'tmp', emptyDir: {} },
    ],
  };
}

export const graceSeconds = (drainSeconds: number): number => LEAVE_SECONDS + drainSeconds + END_SECONDS;

/** Without limit of processors: it would stop threads in the middle of a run. The number of threads is one already. */
export function boundsOf({ memoryBytes, memoryLimitBytes, cpus }: Pick<Resources, 'memoryBytes' | 'memoryLimitBytes' | 'cpus'>): Required<Pick<IContainer, 'resources' | 'securityContext' | 'lifecycle'>> {
  return {
    lifecycle: { preStop: { exec: { command: ['sleep', String(LEAVE_SECONDS)] } } },
    resources: { requests: { cpu: String(cpus), memory: `${mib(memoryBytes)}Mi` }, limits: { memory: `${mib(memoryLimitBytes)}Mi` } },
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
  };
}

export const mounts = {
  config: { name: 'config', mountPath: CONFIG_FOLDER, readOnly: true },
  models: { name: 'models', mountPath: MODELS_FOLDER, readOnly: true },
  tmp: { name: 'tmp', mountPath: '/tmp' },
} as const;

export function secretEnv(variable: string, secret: string): { name: string; valueFrom: { secretKeyRef: { name: string; key: string } } } {
  return { name: variable, valueFrom: { secretKeyRef: { name: secret, key: 'key' } } };
}

/** The server, with its configuration and models. */
export function serverContainer({ name, image, port }: Pick<DeploymentOptions, 'name' | 'image' | 'port'>, resources: Resources): IContainer {
  const probe = (path: string, failureThreshold: number) => ({ httpGet: { path, port: 'http' }, periodSeconds: PROBE_SECONDS, timeoutSeconds: 3, failureThreshold });
  return {
    name: 'server',
    image,
    args: ['serve', '--config', CONFIG_FILE],
    ports: [{ name: 'http', containerPort: port }, { name: 'admin', containerPort: port + 1 }],
    env: [secretEnv('PENJING_API_KEY', keySecret(name))],
    startupProbe: probe('/v2/health/ready', Math.ceil(resources.startSeconds / PROBE_SECONDS)),
    readinessProbe: probe('/v2/health/ready', 1),
    // The server lives while a model is started again: that is its own business, and told by readiness.
    livenessProbe: probe('/v2/health/live', 3),
    ...boundsOf(resources),
    volumeMounts: [mounts.config, mounts.models, mounts.tmp],
  };
}
