/** Deployable files for a target. */
import { PenjingError } from '@penjing/core';
import { renderCompose } from './compose.js';
import { type Deployed, type DeploymentOptions, modelName } from './deployment.js';
import { renderKubernetes } from './kubernetes.js';
import { renderSystemd } from './systemd.js';

const targets = { systemd: renderSystemd, compose: renderCompose, k8s: renderKubernetes } as const;

/** What runs the server. */
export type DeployTarget = keyof typeof targets;

/** A label of DNS: what all three take as a name. */
const NAME = /^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$/;

/** Throws `E_OPTION` for what cannot be a name, and `E_CONFIG` as the server would. */
export function renderDeployment(target: DeployTarget, options: DeploymentOptions): Deployed {
  const { name, models } = options;
  if (!NAME.test(name)) throw new PenjingError('E_OPTION', `${name} is no name of a service`, { hint: 'It has lower-case letters, digits and -, and begins with a letter.' });
  const names = models.map(modelName);
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  if (twice !== undefined) throw new PenjingError('E_CONFIG', `two models are called ${twice}`, { hint: 'Name them: name=path.' });
  return targets[target](options);
}
