/** Manifests for clusters: groups of stages, KServe, scaling, workers of a fleet; held against the definitions of their kinds. */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Plan } from '@penjing/parallel';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import { Service } from 'kubernetes-models/v1/Service';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../config/read-config.js';
import type { DeploymentOptions } from './deployment.js';
import { stageScript } from './leader-worker-set.js';
import { renderDeployment, type DeployTarget } from './render-deployment.js';
import { checkPod, crdFaults } from './testing/crd-faults.js';

const GIB = 2 ** 30;
const device = (name: string, cores: number): Plan['devices'][number] => ({ name, host: name, memoryBytes: 8 * GIB, flops: 1e12, memoryBandwidth: 1e11, cores });
const stage = (name: string, inputs: string[], outputs: string[], threads?: number): { inputs: string[]; outputs: string[]; layout: Plan['layout'] } => ({ inputs, outputs, layout: { kind: 'device', device: name, ...(threads !== undefined && { threads }) } });
const plan: Plan = {
  version: 1, goal: 'memory', model: { name: 'large', weightBytes: 6 * GIB, sizes: {} }, links: [], reasons: [],
  devices: [device('a', 4), device('b', 8), device('c', 2)],
  layout: { kind: 'pipeline', microBatches: 4, stages: [stage('a', ['x'], ['h']), stage('b', ['h'], ['k'], 6), stage('c', ['k'], ['y'])] },
  forecast: { latency: 0.1, throughput: 20, memory: { a: 2 * GIB, b: 3 * GIB, c: GIB }, bubble: 0.1, efficiency: 0.8 },
};
const deployedPlan = { plan, text: JSON.stringify(plan) };
const options: DeploymentOptions = {
  name: 'large', models: [{ path: '/srv/models/large', folder: '/srv/models/large', bytes: 6 * GIB }],
  port: 8080, drainSeconds: 45, threads: 2, command: '/usr/local/bin/penjing', image: 'registry.example/penjing:1', replicas: 3, claim: 'models',
};
const fleet = { servers: 'nats://nats:4222', fleet: 'night', monitor: 'nats:8222', nkey: true };

interface Read {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Record<string, string> };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly data?: Record<string, string>;
}

/** By kind; those of Kubernetes itself and pods have been checked. */
async function rendered(target: DeployTarget, more: Partial<DeploymentOptions>): Promise<Record<string, Read>> {
  const { files } = renderDeployment(target, { ...options, ...more });
  const manifests = parseAllDocuments(files.find(({ path }) => path === 'large.yaml')!.text).map((document) => document.toJS() as Read);
  const own = { ConfigMap, Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, Service } as const;
  for (const manifest of manifests) {
    if (manifest.kind in own) new own[manifest.kind as keyof typeof own](manifest as never).validate();
    else expect(await crdFaults(manifest)).toEqual([]);
  }
  return Object.fromEntries(manifests.map((manifest) => [manifest.kind, manifest]));
}

const faulty = (manifest: Read, change: (spec: Record<string, unknown>) => void): Promise<readonly string[]> => {
  const copy = structuredClone(manifest) as Read & { spec: Record<string, unknown> };
  change(copy.spec);
  return crdFaults(copy);
};

describe('groups of stages', () => {
  test('a group has a pod for each stage, the first the server too', async () => {
    const { LeaderWorkerSet: group, Service: service, ConfigMap: config, PodDisruptionBudget: budget } = await rendered('k8s', { plan: deployedPlan });
    const { replicas, leaderWorkerTemplate: { size, restartPolicy, leaderTemplate, workerTemplate } } = group!.spec as { replicas: number; leaderWorkerTemplate: { size: number; restartPolicy: string; leaderTemplate: object; workerTemplate: object } };
    expect([replicas, size, restartPolicy]).toEqual([3, 3, 'RecreateGroupOnPodRestart']);
    const pods = [leaderTemplate, workerTemplate] as { metadata: { labels: Record<string, string> }; spec: { containers: IContainer[]; volumes: { name: string }[]; terminationGracePeriodSeconds: number } }[];
    pods.forEach(checkPod);
    expect(pods.map(({ spec }) => spec.containers.map(({ name }) => name))).toEqual([['server', 'stage'], ['stage']]);
    for (const { spec } of pods) {
      expect(spec.terminationGracePeriodSeconds).toBe(5 + 45 + 10);
      for (const { volumeMounts } of spec.containers) for (const { name } of volumeMounts!) expect(spec.volumes.map((volume) => volume.name)).toContain(name);
    }
    // the service and the budget are of those that answer
    expect(pods[0]!.metadata.labels).toMatchObject(service!.spec['selector'] as object);
    expect(pods[1]!.metadata.labels).not.toMatchObject(service!.spec['selector'] as object);
    expect((budget!.spec as { selector: { matchLabels: object } }).selector.matchLabels).toEqual(service!.spec['selector']);
    // as the plan forecasts it: of the leader its own stage, of the others the largest
    const requests = pods.map(({ spec }) => spec.containers.at(-1)!.resources!.requests!);
    expect(requests).toEqual([{ cpu: '4', memory: `${320 + 2048}Mi` }, { cpu: '6', memory: `${320 + 3072}Mi` }]);
    // secrets by reference alone
    expect(pods.flatMap(({ spec }) => spec.containers.flatMap(({ env = [] }) => env))).toEqual(expect.arrayContaining([
      { name: 'PENJING_STAGE_TOKEN', valueFrom: { secretKeyRef: { name: 'large-stage-token', key: 'key' } } }, { name: 'PENJING_API_KEY', valueFrom: { secretKeyRef: { name: 'large-api-key', key: 'key' } } },
    ]));
    const server = parseConfig(JSON.parse(config!.data!['server.json']!) as object);
    expect(server.models[0]).toMatchObject({ name: 'large', path: '/models/large', stages: { plan: '/etc/penjing/plan.json', addresses: ['127.0.0.1:7000'] } });
    expect(JSON.parse(config!.data!['plan.json']!)).toEqual(plan);
    expect(await faulty(group!, (spec) => (spec['restartPolicy'] = 'Never'))).toHaveLength(1);
    expect(await faulty(group!, (spec) => ((spec['leaderWorkerTemplate'] as Record<string, unknown>)['restartPolicy'] = 'Never'))).toHaveLength(1);
  });

  test.skipIf(process.platform === 'win32')('each pod starts its stage, and knows where the next one is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'penjing-stage-'));
    try {
      await writeFile(join(folder, 'penjing'), '#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n');
      await chmod(join(folder, 'penjing'), 0o755);
      const started = async (index: number): Promise<string[]> => {
        const { stdout } = await promisify(execFile)('/bin/sh', ['-c', stageScript("/models/it's large")], { env: { PATH: `${folder}:/usr/bin:/bin`, LWS_LEADER_ADDRESS: 'large-2.large.models', LWS_GROUP_SIZE: '3', LWS_WORKER_INDEX: String(index) } });
        return stdout.trim().split('\n');
      };
      const common = (stage: string): string[] => ['worker', "/models/it's large", '--plan', '/etc/penjing/plan.json', '--stage', stage, '--listen', '0.0.0.0:7000'];
      expect(await started(0)).toEqual([...common('0'), '--next', 'large-2-1.large.models:7000']);
      expect(await started(1)).toEqual([...common('1'), '--next', 'large-2-2.large.models:7000']);
      expect(await started(2)).toEqual(common('2'));
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('other plans, several models and plans that are too large are refused', async () => {
    const refused = (more: Partial<DeploymentOptions>, target: DeployTarget = 'k8s'): unknown => {
      try {
        renderDeployment(target, { ...options, ...more });
      } catch (error) {
        return (error as { code: string }).code;
      }
      return 'rendered';
    };
    expect(refused({ plan: { ...deployedPlan, plan: { ...plan, layout: { kind: 'device', device: 'a' } } } })).toBe('E_PLAN');
    expect(refused({ plan: { ...deployedPlan, text: ' '.repeat(1e6) } })).toBe('E_PLAN');
    expect(refused({ plan: deployedPlan, models: [...options.models, { ...options.models[0]!, name: 'other' }] })).toBe('E_OPTION');
    expect(refused({ plan: deployedPlan }, 'compose')).toBe('E_OPTION');
    expect(refused({ fleet, models: [] }, 'kserve')).toBe('E_OPTION');
    expect(refused({ fleet })).toBe('E_OPTION');
    expect(refused({ models: [] })).toBe('E_OPTION');
    for (const scale of [{ min: 0, max: 2 }, { min: 3, max: 2 }]) expect(refused({ scale })).toBe('E_OPTION');
    expect(refused({ scale: { min: 1, max: 2 } }, 'systemd')).toBe('E_OPTION');
  });
});

describe('scaling', () => {
  test('by requests that wait: KEDA with Prometheus, the autoscaler of Kubernetes without', async () => {
    const keda = await rendered('k8s', { scale: { min: 1, max: 8, prometheus: 'http://prometheus:9090' } });
    expect(keda['Deployment']!.spec).not.toHaveProperty('replicas');
    expect(keda['ScaledObject']!.spec).toMatchObject({ scaleTargetRef: { kind: 'Deployment', name: 'large' }, minReplicaCount: 1, maxReplicaCount: 8, triggers: [{ type: 'prometheus', metadata: { query: 'sum(penjing_waiting_requests{pod=~"large-.*"})' } }] });
    expect(await faulty(keda['ScaledObject']!, (spec) => (spec['minReplicas'] = 1))).toHaveLength(1);
    const { HorizontalPodAutoscaler: scaler } = await rendered('k8s', { scale: { min: 1, max: 8 } });
    expect(scaler!.spec).toMatchObject({ minReplicas: 1, maxReplicas: 8, metrics: [{ type: 'Pods', pods: { metric: { name: 'penjing_waiting_requests' } } }] });
    const groups = await rendered('k8s', { plan: deployedPlan, scale: { min: 1, max: 4 } });
    expect((groups['HorizontalPodAutoscaler']!.spec as { scaleTargetRef: object }).scaleTargetRef).toEqual({ apiVersion: 'leaderworkerset.x-k8s.io/v1', kind: 'LeaderWorkerSet', name: 'large' });
    expect(groups['LeaderWorkerSet']!.spec).not.toHaveProperty('replicas');
  });

  test('of workers by the jobs that nobody has taken', async () => {
    const manifests = await rendered('k8s', { models: [], fleet, scale: { min: 0, max: 16 } });
    expect(Object.keys(manifests)).toEqual(['Deployment', 'ScaledObject']);
    expect(manifests['ScaledObject']!.spec).toMatchObject({ minReplicaCount: 0, maxReplicaCount: 16, triggers: [{ type: 'nats-jetstream', metadata: { natsServerMonitoringEndpoint: 'nats:8222', stream: 'night_jobs', consumer: 'workers', lagThreshold: '2' } }] });
    const { template } = manifests['Deployment']!.spec as { template: { spec: { containers: IContainer[]; volumes: object[]; terminationGracePeriodSeconds: number } } };
    const [worker] = template.spec.containers;
    expect(worker!.args).toEqual(['worker', '--join', 'nats://nats:4222', '--fleet', 'night', '--root', '/models', '--threads', '2', '--slots', '1', '--nkey', '/etc/penjing-nkey/key']);
    expect(template.spec.volumes).toContainEqual({ name: 'nkey', secret: { secretName: 'large-nkey', defaultMode: 0o440 } });
    expect(template.spec.volumes).toContainEqual({ name: 'models', persistentVolumeClaim: { claimName: 'models' } });
    expect(template.spec.terminationGracePeriodSeconds).toBe(5 + 45 + 10);
  });
});

describe('KServe', () => {
  test('a runtime that speaks V2, and a service of it', async () => {
    const { ServingRuntime: runtime, InferenceService: service, ConfigMap: config } = await rendered('kserve', {});
    const { containers, volumes } = runtime!.spec as { containers: IContainer[]; volumes: object[] };
    checkPod({ metadata: {}, spec: { containers, volumes } });
    expect(containers[0]!.name).toBe('kserve-container');
    expect(runtime!.spec).toMatchObject({ protocolVersions: ['v2'] });
    expect(service!.spec).toMatchObject({ predictor: { minReplicas: 3, maxReplicas: 3, terminationGracePeriodSeconds: 60, model: { runtime: 'large', protocolVersion: 'v2', storageUri: 'pvc://models/large' } } });
    const { modelFormat } = (service!.spec as { predictor: { model: { modelFormat: { name: string } } } }).predictor.model;
    expect((runtime!.spec as { supportedModelFormats: { name: string }[] }).supportedModelFormats.map(({ name }) => name)).toContain(modelFormat.name);
    expect(parseConfig(JSON.parse(config!.data!['server.json']!) as object).models[0]).toMatchObject({ name: 'large', path: '/mnt/models' });
    expect(await faulty(service!, (spec) => ((spec['predictor'] as Record<string, Record<string, unknown>>)['model']!['modelFormat'] = {}))).toHaveLength(1);
    expect(await faulty(runtime!, (spec) => (spec['protocolVersion'] = 'v2'))).toHaveLength(1);
    expect(() => renderDeployment('kserve', { ...options, models: [...options.models, { ...options.models[0]!, name: 'other' }] })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  });

  test('another scaler takes the place of its own', async () => {
    const { InferenceService: service, HorizontalPodAutoscaler: scaler } = await rendered('kserve', { scale: { min: 1, max: 4 } });
    expect(service!.spec['predictor']).not.toHaveProperty('minReplicas');
    expect((service as unknown as { metadata: { annotations: object } }).metadata.annotations).toMatchObject({ 'serving.kserve.io/autoscalerClass': 'external' });
    expect((scaler!.spec as { scaleTargetRef: { name: string } }).scaleTargetRef.name).toBe('large-predictor');
  });
});
