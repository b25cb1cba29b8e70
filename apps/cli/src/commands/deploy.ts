/** `penjing deploy`: files that run a server of models under systemd, Compose or Kubernetes. */
import { resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import type { DeploymentOptions, DeployTarget } from '@penjing/server';
import { InvalidArgumentError } from 'commander';
import type { Command } from '../command.js';
import { namedPath } from '../named-path.js';
import { common, filled, integer, numberOf, refuseOptions, textOf } from '../options.js';
import { writeFiles } from '../write-files.js';

const targets = ['systemd', 'compose', 'k8s', 'kserve'] as const satisfies readonly DeployTarget[];

export const deploy: Command = {
  name: 'deploy',
  summary: 'write files that serve models under systemd, Docker Compose or Kubernetes, or that run workers of a fleet',
  arguments: [{ name: '[model...]', help: 'model folders or .onnx files, as path or name=path' }],
  options: [
    { flags: '--target <name>', help: 'systemd, compose, k8s or kserve', choices: targets, required: true },
    { flags: '-o, --output <dir>', help: 'where the files go; needed unless --dry-run', parse: filled, group: 'Output' },
    { flags: '--dry-run', help: 'print the files, write nothing', group: 'Output' },
    { ...common.force, group: 'Output' },
    { flags: '--name <name>', help: 'of the service (penjing)', parse: filled },
    { flags: '--port <n>', help: 'where it listens (8080); administration is on the next one in containers', parse: integer(1, 65_534) },
    { flags: '--drain <seconds>', help: 'how long requests in flight may go on when it is told to end (30)', parse: integer(0, 3600) },
    { flags: '--variant <name>', help: 'fp32, fp16, q8, q4, … of folders with several' },
    { flags: '--threads <n>', help: 'of each model (2); processors are requested by it', parse: integer(1, 1024) },
    { flags: '--command <path>', help: 'systemd: the executable (/usr/local/bin/penjing)', parse: filled, group: 'systemd' },
    { flags: '--user <name>', help: 'systemd: who runs it; a user that exists only while it runs when absent', parse: filled, group: 'systemd' },
    { flags: '--image <name>', help: 'the image (penjing:VERSION); Compose builds it from the Dockerfile', parse: filled, group: 'Containers' },
    { flags: '--replicas <n>', help: 'k8s, kserve: how many pods, or groups of them with --plan (2)', parse: integer(1, 1000), group: 'Containers' },
    { flags: '--scale <min:max>', help: 'k8s, kserve: as many as the requests that wait need, or the jobs of a fleet, instead', parse: range, group: 'Containers' },
    { flags: '--prometheus <url>', help: 'k8s, kserve: where KEDA finds the metrics; without it --scale is for the autoscaler of Kubernetes and an adapter', parse: filled, group: 'Containers' },
    { flags: '--plan <file.json>', help: 'k8s: a pipeline over pods (penjing plan), a group of them for each replica (LeaderWorkerSet)', parse: filled, group: 'Containers' },
    { flags: '--join <url>', help: 'k8s: workers of a fleet instead of a server: its NATS server, nats://HOST:4222', parse: filled, group: 'Fleet' },
    { flags: '--fleet <name>', help: 'its name (penjing)', parse: filled, group: 'Fleet' },
    { flags: '--nats-monitor <host:port>', help: 'where KEDA asks how many jobs there are (port 8222 of the NATS server)', parse: filled, group: 'Fleet' },
    { flags: '--nkey', help: 'workers show who they are: an NKey seed in the secret NAME-nkey', group: 'Fleet' },
    { flags: '--claim <name>', help: 'k8s, kserve: the PersistentVolumeClaim with the folders of the models (penjing-models)', parse: filled, group: 'Containers' },
  ],
  examples: ['penjing deploy out/sapling --target systemd -o deploy', 'penjing deploy chat=out/qwen words=out/minilm --target compose -o deploy', 'penjing deploy out/qwen --variant q4 --target k8s --dry-run', 'penjing deploy out/large --target k8s --plan plan.json --scale 1:4 --prometheus http://prometheus:9090 -o deploy', 'penjing deploy --target k8s --join nats://nats:4222 --scale 0:16 --name workers -o deploy'],
  async run({ arguments: paths, options, signal }) {
    const output = textOf(options, 'output');
    const dry = options['dryRun'] === true;
    if (output === undefined && !dry) throw new PenjingError('E_OPTION', 'where the files go is not said', { hint: 'Name a folder (-o DIR), or look at them first: --dry-run.' });
    const [{ summarizeModel }, { readDeployedPlan, renderDeployment, version }] = await Promise.all([import('@penjing/runtime'), import('@penjing/server')]);
    const variant = textOf(options, 'variant');
    const models = await Promise.all(
      paths.map(async (text) => {
        const { name, path } = namedPath(text);
        const { folder, bytes } = await summarizeModel(path, { ...(variant !== undefined && { variant }), signal });
        return { name, path: resolve(path), folder: resolve(folder), bytes, variant };
      }),
    );
    const name = textOf(options, 'name') ?? 'penjing';
    const [planFile, scale] = [textOf(options, 'plan'), options['scale'] as { readonly min: number; readonly max: number } | undefined];
    const { files, next } = renderDeployment(textOf(options, 'target') as DeployTarget, {
      name,
      models,
      port: numberOf(options, 'port') ?? 8080,
      drainSeconds: numberOf(options, 'drain') ?? 30,
      threads: numberOf(options, 'threads') ?? 2,
      command: textOf(options, 'command') ?? '/usr/local/bin/penjing',
      user: textOf(options, 'user'),
      image: textOf(options, 'image') ?? `penjing:${version}`,
      replicas: numberOf(options, 'replicas') ?? 2,
      claim: textOf(options, 'claim') ?? 'penjing-models',
      plan: planFile === undefined ? undefined : await readDeployedPlan(planFile),
      scale: scale && { ...scale, prometheus: textOf(options, 'prometheus') },
      fleet: fleetOf(options),
    });
    if (!dry) await writeFiles(output!, files, options['force'] === true);
    const shown = dry ? files.map(({ path, text }) => `# ${path}\n${text}`).join('\n') : `wrote ${files.map(({ path }) => path).join(', ')} to ${output!}\n\nnext:\n${next.map((line) => `  ${line}`).join('\n')}`;
    return { json: { files: dry ? files : files.map(({ path }) => ({ path })), next }, text: shown.trimEnd() };
  },
};

/** `1:8`. */
function range(text: string): { readonly min: number; readonly max: number } {
  const match = /^(\d{1,4}):(\d{1,4})$/.exec(text);
  if (!match) throw new InvalidArgumentError('two numbers are needed, as 1:8.');
  return { min: Number(match[1]), max: Number(match[2]) };
}

function fleetOf(options: Readonly<Record<string, unknown>>): DeploymentOptions['fleet'] {
  const servers = textOf(options, 'join');
  if (servers === undefined) {
    refuseOptions(options, ['fleet', 'natsMonitor', 'nkey'], 'without --join');
    return undefined;
  }
  refuseOptions(options, ['prometheus', 'plan', 'port', 'variant'], 'beside --join');
  const host = /^\w+:\/\/(\[[^\]]+\]|[^:/,]+)/.exec(servers)?.[1];
  if (servers.includes('@')) throw new PenjingError('E_OPTION', 'the address of the NATS server has a password, which would stand in the files', { hint: 'Give the workers an NKey instead: --nkey.' });
  if (host === undefined) throw new PenjingError('E_OPTION', `${servers} is no address of a NATS server`, { hint: '--join nats://HOST:4222' });
  return { servers, fleet: textOf(options, 'fleet') ?? 'penjing', monitor: textOf(options, 'natsMonitor') ?? `${host}:8222`, nkey: options['nkey'] === true };
}
