/** Deployable files for a target. */
import { PenjingError } from '@penjing/core';
import { renderCompose } from './compose.js';
import { type Deployed, type DeploymentOptions, modelName } from './deployment.js';
import { renderKserve } from './kserve.js';
import { renderKubernetes } from './kubernetes.js';
import { renderSystemd } from './systemd.js';

const targets = { systemd: renderSystemd, compose: renderCompose, k8s: renderKubernetes, kserve: renderKserve } as const;

/** What runs the server. */
export type DeployTarget = keyof typeof targets;

/** A label of DNS: what all three take as a name. */
const NAME = /^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$/;

/** Throws `E_OPTION` for what cannot be a name, and `E_CONFIG` as the server would. */
export function renderDeployment(target: DeployTarget, options: DeploymentOptions): Deployed {
  const { name, models, plan, fleet, scale } = options;
  if (target !== 'k8s' && (plan ?? fleet)) throw new PenjingError('E_OPTION', `${plan ? 'a plan' : 'a fleet'} is deployed on Kubernetes`, { hint: '--target k8s' });
  if (target !== 'k8s' && target !== 'kserve' && scale) throw new PenjingError('E_OPTION', `${target} scales nothing`, { hint: '--target k8s' });
  if (scale && !(scale.min <= scale.max && scale.max >= 1 && (fleet ? scale.min >= 0 : scale.min >= 1))) throw new PenjingError('E_OPTION', `from ${scale.min} to ${scale.max} replicas`, { hint: fleet ? 'Give MIN:MAX, as 0:8.' : 'Give MIN:MAX, as 1:8.' });
  if (fleet ? models.length > 0 : models.length === 0) throw new PenjingError('E_OPTION', fleet ? 'workers of a fleet serve no models' : 'no model is given', { hint: fleet ? 'Leave the models out, or --join.' : 'Name model folders or .onnx files.' });
  if (!NAME.test(name)) throw new PenjingError('E_OPTION', `${name} is no name of a service`, { hint: 'It has lower-case letters, digits and -, and begins with a letter.' });
  const names = models.map(modelName);
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  if (twice !== undefined) throw new PenjingError('E_CONFIG', `two models are called ${twice}`, { hint: 'Name them: name=path.' });
  return targets[target](options);
}
