/** A model for KServe, which speaks the protocol that the server does: a runtime, and a service of it. */
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { PenjingError } from '@penjing/core';
import { relative, sep } from 'node:path';
import { imageFiles } from './container.js';
import { configText, type Deployed, type DeploymentOptions, modelName } from './deployment.js';
import { yamlOf } from './manifest.js';
import { graceSeconds, keySecret, labelsOf, mounts, serverContainer } from './pods.js';
import { resourcesOf } from './resources.js';
import { queueScaler } from './scaling.js';

/** Where KServe puts what `storageUri` names. */
const MODEL_FOLDER = '/mnt/models';
const FORMAT = 'penjing';

/** Throws `E_OPTION` for several models: KServe has a service for each. */
export function renderKserve(options: DeploymentOptions): Deployed {
  const { name, claim, models, image } = options;
  const [model, ...others] = models;
  if (!model || others.length > 0) throw new PenjingError('E_OPTION', `KServe serves one model by a service, ${models.length} are given`, { hint: 'Run it once for each model, with a --name of its own.' });
  return {
    files: [{ path: `${name}.yaml`, text: yamlOf(kserveManifests(options)) }, ...imageFiles(options)],
    next: [
      `docker build -t ${image} . && docker push ${image}   # with --image a registry that your cluster reaches`,
      `kubectl create secret generic ${keySecret(name)} --from-literal=key="$(openssl rand -hex 32)"`,
      `the claim ${claim} holds ${model.folder} as ${modelName(model)}; or change storageUri to s3://, hf://, https://`,
      `kubectl apply -f ${name}.yaml && kubectl wait --for=condition=Ready inferenceservice/${name} --timeout=10m`,
    ],
  };
}

export function kserveManifests(options: DeploymentOptions): readonly object[] {
  const { name, models: [model], claim, drainSeconds, replicas, scale } = options;
  const labels = { ...labelsOf(name) };
  const metadata = { name, labels };
  const inFolder = (path: string, folder: string): string => [MODEL_FOLDER, ...relative(folder, path).split(sep)].filter(Boolean).join('/');
  const config: IConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'server.json': configText(options, '0.0.0.0', ({ path, folder }) => inFolder(path, folder)) } };
  const container = serverContainer(options, resourcesOf(options));
  const runtime = {
    apiVersion: 'serving.kserve.io/v1alpha1', kind: 'ServingRuntime', metadata,
    spec: {
      supportedModelFormats: [{ name: FORMAT, version: '1', autoSelect: false }],
      protocolVersions: ['v2'],
      multiModel: false,
      containers: [{ ...container, name: 'kserve-container', volumeMounts: [mounts.config, mounts.tmp] }],
      volumes: [{ name: 'config', configMap: { name } }, { name: 'tmp', emptyDir: {} }],
    },
  };
  const service = {
    apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService',
    // Plain deployments: a model takes too long to load for pods that come with a request.
    metadata: { ...metadata, annotations: { 'serving.kserve.io/deploymentMode': 'RawDeployment', ...(scale && { 'serving.kserve.io/autoscalerClass': 'external' }) } },
    spec: {
      predictor: {
        ...(!scale && { minReplicas: replicas, maxReplicas: replicas }),
        terminationGracePeriodSeconds: graceSeconds(drainSeconds),
        model: { modelFormat: { name: FORMAT, version: '1' }, protocolVersion: 'v2', runtime: name, storageUri: `pvc://${claim}/${modelName(model!)}` },
      },
    },
  };
  return [config, runtime, service, ...queueScaler(options, { apiVersion: 'apps/v1', kind: 'Deployment', name: `${name}-predictor` })];
}
