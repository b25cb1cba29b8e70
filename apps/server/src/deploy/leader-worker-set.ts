/** A pipeline over pods: a group for each replica, in which pod i has stage i of the plan and the first one the server too. */
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodTemplateSpec } from 'kubernetes-models/v1/PodTemplateSpec';
import { PenjingError } from '@penjing/core';
import type { Layout, PlacedPart, Plan } from '@penjing/parallel';
import { configText, CONFIG_FOLDER, type DeployedPlan, type DeploymentOptions, mountOf } from './deployment.js';
import { budgetOf, type Manifest, serviceOf } from './manifest.js';
import { boundsOf, labelsOf, mounts, PROBE_SECONDS, podOf, secretEnv, serverContainer } from './pods.js';
import { frontResources, stageResources } from './resources.js';
import { queueScaler } from './scaling.js';

const STAGE_PORT = 7000;
export const PLAN_FILE = `${CONFIG_FOLDER}/plan.json`;
/** What a ConfigMap holds, less what the server's own file takes. */
const MOST_PLAN_BYTES = 900_000;

const tokenSecret = (name: string): string => `${name}-stage-token`;

export function groupSteps(name: string): readonly string[] {
  return [
    `kubectl create secret generic ${tokenSecret(name)} --from-literal=key="$(openssl rand -hex 32)"`,
    'the cluster has LeaderWorkerSet 0.6 or later: https://lws.sigs.k8s.io/docs/installation/',
  ];
}

/** Throws `E_PLAN` for a plan that is no pipeline, `E_OPTION` unless there is one model. */
export function groupManifests(options: DeploymentOptions, { plan, text }: DeployedPlan): readonly Manifest[] {
  const { name, models, replicas, scale } = options;
  const [model, ...others] = models;
  if (!model || others.length > 0) throw new PenjingError('E_OPTION', `a plan is of one model, ${models.length} are given`, { hint: 'Deploy the others by themselves.' });
  if (Buffer.byteLength(text) > MOST_PLAN_BYTES) throw new PenjingError('E_PLAN', 'the plan is larger than a ConfigMap may be', { hint: 'Leave out what was considered besides: delete `considered` and `measured` from it.' });
  const stages = stagesOf(plan);
  const labels = labelsOf(name);
  const front = { ...labels, 'app.kubernetes.io/component': 'front' };
  const stage = { ...labels, 'app.kubernetes.io/component': 'stage' };
  const config: IConfigMap = {
    apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { ...labels } },
    data: { 'server.json': configText(options, '0.0.0.0', (one) => mountOf(one).path, { plan: PLAN_FILE, addresses: [`127.0.0.1:${STAGE_PORT}`] }), 'plan.json': text },
  };
  const container = (numbers: readonly number[]): IContainer => stageContainer(options, mountOf(model).path, model.bytes, numbers.map((i) => ({ plan, part: stages[i]! })));
  const template = (role: typeof front, containers: IContainer[]): IPodTemplateSpec => ({ metadata: { labels: role }, spec: podOf(options, labels, containers) });
  const server = serverContainer(options, frontResources(model.bytes));
  const leader = { ...server, env: [...server.env!, secretEnv('PENJING_STAGE_TOKEN', tokenSecret(name))] };
  const group = {
    apiVersion: 'leaderworkerset.x-k8s.io/v1',
    kind: 'LeaderWorkerSet',
    metadata: { name, labels },
    spec: {
      ...(!scale && { replicas }),
      startupPolicy: 'LeaderCreated',
      rolloutStrategy: { type: 'RollingUpdate', rollingUpdateConfiguration: { maxUnavailable: 0, maxSurge: 1 } },
      networkConfig: { subdomainPolicy: 'Shared' },
      leaderWorkerTemplate: {
        size: stages.length,
        // What a stage had under way is lost with it, and its neighbours know it by its address: they begin again together.
        restartPolicy: 'RecreateGroupOnPodRestart',
        leaderTemplate: template(front, [leader, container([0])]),
        workerTemplate: template(stage, [container(stages.map((_, i) => i).slice(1))]),
      },
    },
  };
  return [config, group, serviceOf(options, labels, front), budgetOf(name, labels, front), ...queueScaler(options, { apiVersion: group.apiVersion, kind: group.kind, name })];
}

function stagesOf({ layout }: Plan): readonly PlacedPart[] {
  if (layout.kind === 'pipeline' && layout.stages.length > 1) return layout.stages;
  throw new PenjingError('E_PLAN', `the plan is no pipeline over several machines, but ${layout.kind}`, { hint: 'Make one: penjing plan --goal memory, with the devices of several hosts.' });
}

/** All workers of a group are made of one template: it asks for what the largest of its stages needs. */
function stageContainer({ name, image }: DeploymentOptions, model: string, bytes: number, stages: readonly { readonly plan: Plan; readonly part: PlacedPart }[]): IContainer {
  const needs = stages.map(({ plan, part }) => needsOf(plan, part.layout));
  const resources = stageResources({ memory: Math.max(...needs.map(({ memory }) => memory)), cpus: Math.max(...needs.map(({ cpus }) => cpus)), bytes });
  const probe = (failureThreshold: number) => ({ grpc: { port: STAGE_PORT }, periodSeconds: PROBE_SECONDS, timeoutSeconds: 3, failureThreshold });
  return {
    name: 'stage',
    image,
    command: ['/bin/sh', '-c', stageScript(model)],
    ports: [{ name: 'stage', containerPort: STAGE_PORT }],
    env: [secretEnv('PENJING_STAGE_TOKEN', tokenSecret(name))],
    // A stage takes requests when all after it do: it is not to be ended for their sake.
    readinessProbe: probe(1),
    livenessProbe: { tcpSocket: { port: STAGE_PORT }, initialDelaySeconds: resources.startSeconds, periodSeconds: PROBE_SECONDS, failureThreshold: 3 },
    ...boundsOf(resources),
    volumeMounts: [mounts.config, mounts.models, mounts.tmp],
  };
}

/** LeaderWorkerSet tells each pod its place; the name of the next one follows from that of the first. */
export function stageScript(model: string): string {
  return `set -eu
set -- --listen 0.0.0.0:${STAGE_PORT}
if [ "$LWS_WORKER_INDEX" -lt $((LWS_GROUP_SIZE - 1)) ]; then
  set -- "$@" --next "\${LWS_LEADER_ADDRESS%%.*}-$((LWS_WORKER_INDEX + 1)).\${LWS_LEADER_ADDRESS#*.}:${STAGE_PORT}"
fi
exec penjing worker ${quoted(model)} --plan ${PLAN_FILE} --stage "$LWS_WORKER_INDEX" "$@"
`;
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Bytes as the plan forecasts them, and threads. */
function needsOf({ devices, forecast }: Plan, layout: Layout): { readonly memory: number; readonly cpus: number } {
  const leaves = leavesOf(layout);
  const names = new Set(leaves.map(({ device }) => device));
  return {
    memory: [...names].reduce((sum, name) => sum + (forecast.memory[name] ?? 0), 0),
    cpus: Math.max(1, leaves.reduce((sum, { device, threads }) => sum + (threads ?? devices.find((one) => one.name === device)?.cores ?? 1), 0)),
  };
}

function leavesOf(layout: Layout): readonly { readonly device: string; readonly threads?: number }[] {
  switch (layout.kind) {
    case 'device': return [layout];
    case 'tensor': return layout.devices.map((device) => ({ device }));
    case 'data': return layout.replicas.flatMap(leavesOf);
    case 'pipeline': return layout.stages.flatMap((part) => leavesOf(part.layout));
    case 'tasks': return layout.parts.flatMap((part) => leavesOf(part.layout));
  }
}
