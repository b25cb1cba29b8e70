/** Manifests for Kubernetes: replicas that are asked whether they are ready, and end without losing a request. */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IService } from 'kubernetes-models/v1/Service';
import { stringify } from 'yaml';
import { CONFIG_FILE, imageFiles, USER_ID, YAML_OPTIONS } from './container.js';
import { CONFIG_FOLDER, configText, type Deployed, type DeploymentOptions, modelName, MODELS_FOLDER, mountOf } from './deployment.js';
import { mib, resourcesOf } from './resources.js';

/** Until no proxy sends requests to a pod that ends. */
const LEAVE_SECONDS = 5;
/** After draining, for the processes of models. */
const END_SECONDS = 10;
const PROBE_SECONDS = 5;

export function renderKubernetes(options: DeploymentOptions): Deployed {
  const { name, claim, models, image } = options;
  const text = manifestsOf(options).map((manifest) => stringify(manifest, YAML_OPTIONS)).join('---\n');
  return {
    files: [{ path: `${name}.yaml`, text }, ...imageFiles(options)],
    next: [
      `docker build -t ${image} . && docker push ${image}   # with --image a registry that your cluster reaches`,
      `kubectl create secret generic ${keySecret(name)} --from-literal=key="$(openssl rand -hex 32)"`,
      `the claim ${claim} holds ${models.map((model) => `${model.folder} as ${modelName(model)}`).join(', ')}`,
      `kubectl apply -f ${name}.yaml && kubectl rollout status deployment/${name}`,
    ],
  };
}

const keySecret = (name: string): string => `${name}-api-key`;

export type Manifest = IConfigMap | IDeployment | IService | IPodDisruptionBudget;

export function manifestsOf(options: DeploymentOptions): readonly Manifest[] {
  const { name, port } = options;
  const labels = { 'app.kubernetes.io/name': 'penjing', 'app.kubernetes.io/instance': name };
  const metadata = { name, labels };
  const config: IConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'server.json': configText(options, '0.0.0.0', (model) => mountOf(model).path) } };
  // Metrics and administration are on a port of the pods that the service does not have.
  const service: IService = { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ name: 'http', port, targetPort: 'http' }] } };
  const budget: IPodDisruptionBudget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata, spec: { maxUnavailable: 1, selector: { matchLabels: labels } } };
  return [config, deploymentOf(options, labels), service, budget];
}

function deploymentOf(options: DeploymentOptions, labels: Record<string, string>): IDeployment {
  const { name, replicas, drainSeconds, claim } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: LEAVE_SECONDS + drainSeconds + END_SECONDS,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: { runAsNonRoot: true, runAsUser: USER_ID, runAsGroup: USER_ID, fsGroup: USER_ID, seccompProfile: { type: 'RuntimeDefault' } },
          topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', labelSelector: { matchLabels: labels } }],
          containers: [containerOf(options)],
          volumes: [
            { name: 'config', configMap: { name } },
            { name: 'models', persistentVolumeClaim: { claimName: claim, readOnly: true } },
            { name: 'tmp', emptyDir: {} },
          ],
        },
      },
    },
  };
}

function containerOf(options: DeploymentOptions): IContainer {
  const { name, image, port } = options;
  const { memoryBytes, memoryLimitBytes, cpus, startSeconds } = resourcesOf(options);
  const probe = (path: string, failureThreshold: number) => ({ httpGet: { path, port: 'http' }, periodSeconds: PROBE_SECONDS, timeoutSeconds: 3, failureThreshold });
  return {
    name: 'server',
    image,
    args: ['serve', '--config', CONFIG_FILE],
    ports: [{ name: 'http', containerPort: port }, { name: 'admin', containerPort: port + 1 }],
    env: [{ name: 'PENJING_API_KEY', valueFrom: { secretKeyRef: { name: keySecret(name), key: 'key' } } }],
    startupProbe: probe('/v2/health/ready', Math.ceil(startSeconds / PROBE_SECONDS)),
    readinessProbe: probe('/v2/health/ready', 1),
    // The server lives while a model is started again: that is its own business, and told by readiness.
    livenessProbe: probe('/v2/health/live', 3),
    lifecycle: { preStop: { exec: { command: ['sleep', String(LEAVE_SECONDS)] } } },
    // No limit of processors: it would stop threads in the middle of a run. The number of threads is one already.
    resources: { requests: { cpu: String(cpus), memory: `${mib(memoryBytes)}Mi` }, limits: { memory: `${mib(memoryLimitBytes)}Mi` } },
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    volumeMounts: [{ name: 'config', mountPath: CONFIG_FOLDER, readOnly: true }, { name: 'models', mountPath: MODELS_FOLDER, readOnly: true }, { name: 'tmp', mountPath: '/tmp' }],
  };
}
