/** How many there are, by what waits: a queue says more than processors, which are busy as soon as anything runs. */
import type { IHorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import type { DeploymentOptions } from './deployment.js';
import { labelsOf } from './pods.js';

export interface ScaleTarget {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

interface ScaledObject {
  readonly apiVersion: 'keda.sh/v1alpha1';
  readonly kind: 'ScaledObject';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: object;
}

/** Requests that wait, for each pod. A server refuses from 64 on; a few mean that its lanes are busy. */
const WAITING = 4;
/** A model takes long to load: those that are there stay for a while. */
const CALM_SECONDS = 300;

/** Of servers: KEDA where Prometheus is named, otherwise the autoscaler of Kubernetes, which needs an adapter for metrics of pods. Nothing where the number is fixed. */
export function queueScaler({ name, scale }: Pick<DeploymentOptions, 'name' | 'scale'>, target: ScaleTarget): readonly (IHorizontalPodAutoscaler | ScaledObject)[] {
  if (!scale) return [];
  const { min, max, prometheus } = scale;
  const labels = { ...labelsOf(name) };
  if (prometheus === undefined) {
    return [{
      apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name, labels },
      spec: {
        scaleTargetRef: target, minReplicas: min, maxReplicas: max,
        metrics: [{ type: 'Pods', pods: { metric: { name: 'penjing_waiting_requests' }, target: { type: 'AverageValue', averageValue: String(WAITING) } } }],
        behavior: { scaleDown: { stabilizationWindowSeconds: CALM_SECONDS } },
      },
    }];
  }
  const query = `sum(penjing_waiting_requests{pod=~"${name}-.*"})`;
  return [scaledObject(name, target, scale, { type: 'prometheus', metadata: { serverAddress: prometheus, query, threshold: String(WAITING) } })];
}

export interface JobsScale {
  readonly min: number;
  readonly max: number;
  /** Address of the monitoring port of NATS. */
  readonly monitor: string;
  readonly stream: string;
  readonly consumer: string;
  /** Jobs that one worker has at a time. */
  readonly slots: number;
}

/** Of workers: by the jobs that nobody has taken; none where there are none. */
export function jobsScaler(name: string, target: ScaleTarget, { monitor, stream, consumer, slots, ...range }: JobsScale): ScaledObject {
  return scaledObject(name, target, range, { type: 'nats-jetstream', metadata: { natsServerMonitoringEndpoint: monitor, account: '$G', stream, consumer, lagThreshold: String(2 * slots) } });
}

function scaledObject(name: string, target: ScaleTarget, { min, max }: { readonly min: number; readonly max: number }, trigger: object): ScaledObject {
  return {
    apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', metadata: { name, labels: { ...labelsOf(name) } },
    spec: { scaleTargetRef: target, minReplicaCount: min, maxReplicaCount: max, pollingInterval: 15, cooldownPeriod: CALM_SECONDS, triggers: [trigger] },
  };
}
