/** Workers of a fleet: they take jobs from a NATS server, and there are as many as the jobs need. */
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { DeploymentOptions, FleetDeployment } from './deployment.js';
import { boundsOf, graceSeconds, labelsOf, podOf } from './pods.js';
import { MODELS_FOLDER } from './deployment.js';
import { workerResources } from './resources.js';
import { jobsScaler } from './scaling.js';
import type { Manifest } from './manifest.js';

const NKEY_FOLDER = '/etc/penjing-nkey';
const nkeySecret = (name: string): string => `${name}-nkey`;

export function fleetSteps({ name, claim }: DeploymentOptions, { nkey }: FleetDeployment): readonly string[] {
  return [
    ...(nkey ? [`kubectl create secret generic ${nkeySecret(name)} --from-file=key=worker.nk   # the NKey seed of the workers`] : []),
    `the claim ${claim} is that of the machines that give out the jobs: workers read and write there (ReadWriteMany)`,
  ];
}

export function fleetManifests(options: DeploymentOptions, fleet: FleetDeployment): readonly Manifest[] {
  const { name, image, threads, replicas, scale, drainSeconds } = options;
  const { servers, fleet: fleetName, nkey } = fleet;
  const labels = { ...labelsOf(name) };
  const pod = podOf(options, labels, [{
    name: 'worker',
    image,
    args: ['worker', '--join', servers, '--fleet', fleetName, '--root', MODELS_FOLDER, '--threads', String(threads), '--slots', '1', ...(nkey ? ['--nkey', `${NKEY_FOLDER}/key`] : [])],
    ...boundsOf(workerResources(threads)),
    volumeMounts: [{ name: 'models', mountPath: MODELS_FOLDER }, { name: 'tmp', mountPath: '/tmp' }, ...(nkey ? [{ name: 'nkey', mountPath: NKEY_FOLDER, readOnly: true }] : [])],
  }], { writesModels: true });
  const deployment: IDeployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels },
    spec: {
      ...(!scale && { replicas }),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { ...pod, volumes: [...pod.volumes!, ...(nkey ? [{ name: 'nkey', secret: { secretName: nkeySecret(name), defaultMode: 0o440 } }] : [])], terminationGracePeriodSeconds: graceSeconds(drainSeconds) },
      },
    },
  };
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name };
  // The names are those that workers give what they keep on the server.
  return [deployment, ...(scale ? [jobsScaler(name, target, { ...scale, monitor: fleet.monitor, stream: `${fleetName}_jobs`, consumer: 'workers', slots: 1 })] : [])];
}
