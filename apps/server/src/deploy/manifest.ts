/** Manifests as text, and those that all deployments of the server have. */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IService } from 'kubernetes-models/v1/Service';
import { stringify } from 'yaml';
import { YAML_OPTIONS } from './container.js';
import type { DeploymentOptions } from './deployment.js';
import type { Labels } from './pods.js';

export const yamlOf = (manifests: readonly object[]): string => manifests.map((manifest) => stringify(manifest, YAML_OPTIONS)).join('---\n');

/** Some kinds are of others than Kubernetes itself: the type says only what all have. */
export type Manifest = IConfigMap | IDeployment | IService | IPodDisruptionBudget | { readonly apiVersion: string; readonly kind: string };

/** Metrics and administration are on a port of the pods that the service does not have. */
export function serviceOf({ name, port }: Pick<DeploymentOptions, 'name' | 'port'>, labels: Labels, selector = labels): IService {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, labels: { ...labels } }, spec: { selector: { ...selector }, ports: [{ name: 'http', port, targetPort: 'http' }] } };
}

export function budgetOf(name: string, labels: Labels, selector = labels): IPodDisruptionBudget {
  return { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name, labels: { ...labels } }, spec: { maxUnavailable: 1, selector: { matchLabels: { ...selector } } } };
}
