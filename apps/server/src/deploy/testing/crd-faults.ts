/** What custom resource definitions would not take of a manifest, as `peers/deploy/crd_facts.py` has taken it out of them. */
import { readFile } from 'node:fs/promises';
import { Ajv } from 'ajv';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';

interface Custom {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: object;
}

/** Faults by their places; an empty list for one that is right. Throws for a kind that is not known. */
export async function crdFaults({ apiVersion, kind, spec }: Custom): Promise<readonly string[]> {
  const { kinds } = JSON.parse(await readFile(new URL('./crd-facts.json', import.meta.url), 'utf8')) as { readonly kinds: Readonly<Record<string, object>> };
  const schema = kinds[`${apiVersion} ${kind}`];
  if (!schema) throw new Error(`no facts of ${apiVersion} ${kind}`);
  const valid = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);
  valid(spec);
  return (valid.errors ?? []).map(({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`);
}

/** Pods in such manifests are checked as those of a Deployment. Throws what is wrong. */
export function checkPod(template: object): void {
  new Deployment({ metadata: { name: 'pod' }, spec: { selector: { matchLabels: {} }, template } }).validate();
}
