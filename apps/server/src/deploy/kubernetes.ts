/** Manifests for Kubernetes: replicas that are asked whether they are ready, and end without losing a request. */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { imageFiles } from './container.js';
import { configText, type Deployed, type DeploymentOptions, modelName, mountOf } from './deployment.js';
import { fleetManifests, fleetSteps } from './fleet.js';
import { groupManifests, groupSteps } from './leader-worker-set.js';
import { budgetOf, type Manifest, serviceOf, yamlOf } from './manifest.js';
import { keySecret, type Labels, labelsOf, podOf, serverContainer } from './pods.js';
import { resourcesOf } from './resources.js';
import { queueScaler } from './scaling.js';

export function renderKubernetes(options: DeploymentOptions): Deployed {
  const { name, claim, models, image, plan, fleet } = options;
  const kind = fleet ? `deployment/${name}` : plan ? `leaderworkerset/${name}` : `deployment/${name}`;
  return {
    files: [{ path: `${name}.yaml`, text: yamlOf(manifestsOf(options)) }, ...imageFiles(options)],
    next: [
      `docker build -t ${image} . && docker push ${image}   # with --image a registry that your cluster reaches`,
      ...(fleet ? fleetSteps(options, fleet) : [
        `kubectl create secret generic ${keySecret(name)} --from-literal=key="$(openssl rand -hex 32)"`,
        ...(plan ? groupSteps(name) : []),
        `the claim ${claim} holds ${models.map((model) => `${model.folder} as ${modelName(model)}`).join(', ')}`,
      ]),
      `kubectl apply -f ${name}.yaml && kubectl ${plan && !fleet ? `wait --for=condition=Available ${kind} --timeout=10m` : `rollout status ${kind}`}`,
    ],
  };
}

export function manifestsOf(options: DeploymentOptions): readonly Manifest[] {
  const { name, fleet, plan } = options;
  if (fleet) return fleetManifests(options, fleet);
  if (plan) return groupManifests(options, plan);
  const labels = labelsOf(name);
  const config: IConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels }, data: { 'server.json': configText(options, '0.0.0.0', (model) => mountOf(model).path) } };
  return [config, deploymentOf(options, labels), serviceOf(options, labels), budgetOf(name, labels), ...queueScaler(options, { apiVersion: 'apps/v1', kind: 'Deployment', name })];
}

function deploymentOf(options: DeploymentOptions, labels: Labels): IDeployment {
  const { name, replicas, scale } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels: { ...labels } },
    spec: {
      // who scales says how many there are
      ...(!scale && { replicas }),
      selector: { matchLabels: { ...labels } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template: { metadata: { labels: { ...labels } }, spec: podOf(options, labels, [serverContainer(options, resourcesOf(options))]) },
    },
  };
}
