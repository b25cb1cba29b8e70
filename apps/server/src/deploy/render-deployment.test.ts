import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Service } from 'kubernetes-models/v1/Service';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../config/read-config.js';
import { checkListening } from '../http/listen-policy.js';
import type { DeploymentOptions } from './deployment.js';
import { renderDeployment, type DeployTarget } from './render-deployment.js';
import { unitFaults } from './testing/unit-faults.js';

const run = promisify(execFile);

const options: DeploymentOptions = {
  name: 'words',
  models: [{ path: '/srv/models/qwen', folder: '/srv/models/qwen', bytes: 1_000_000_000, variant: 'q4' }, { name: 'tiny', path: '/srv/my models/onnx/model.onnx', folder: '/srv/my models', bytes: 20_000_000 }],
  port: 8080, drainSeconds: 45, threads: 2, command: process.execPath, image: 'registry.example/penjing:1', replicas: 3, claim: 'models',
};
const filesOf = (target: DeployTarget, more: Partial<DeploymentOptions> = {}): Readonly<Record<string, string>> => Object.fromEntries(renderDeployment(target, { ...options, ...more }).files.map(({ path, text }) => [path, text]));
const accepts = (config: string, keys: object[]): void => checkListening(parseConfig({ ...(JSON.parse(config) as object), keys }));
const key = [{ name: 'a', sha256: 'a'.repeat(64) }];

test.each([
  ['systemd', 'words.service'],
  ['compose', 'compose.yaml'],
  ['compose', 'Dockerfile'],
  ['k8s', 'words.yaml'],
  ['k8s', 'Dockerfile'],
] as const)('%s: %s is the golden one', async (target, path) => {
  await expect(filesOf(target, { command: '/usr/local/bin/penjing' })[path]).toMatchFileSnapshot(`./testing/golden/${path}`);
});

describe('systemd', () => {
  const unit = filesOf('systemd')['words.service']!;

  test('the unit has directives that there are, with values that they take', () => {
    expect(unitFaults(unit)).toEqual([]);
    expect(unitFaults(unit.replace('PrivateTmp=yes', 'PrivateTemp=yes').replace('OOMPolicy=continue', 'OOMPolicy=go on').replace('[Install]', '[Instal]'))).toEqual(['[Service] OOMPolicy=go on', '[Service] PrivateTemp', '[Instal]']);
  });

  test('systemd finds nothing wrong with it, and little that it could reach', async ({ skip }) => {
    const there = await run('systemd-analyze', ['--version']).then(() => true, () => false);
    if (!there) skip('there is no systemd here');
    const folder = await mkdtemp(join(tmpdir(), 'penjing-unit-'));
    try {
      const path = join(folder, 'words.service');
      await writeFile(path, unit);
      const { stderr } = await run('systemd-analyze', ['verify', '--man=no', path]);
      expect(stderr.split('\n').filter((line) => line.includes('words.service'))).toEqual([]);
      // 0 is closed, 10 is open; it exits with 1 above the threshold (20 is 2.0).
      await run('systemd-analyze', ['security', '--offline=yes', '--threshold=20', path]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('it waits as long as draining takes, and the configuration is one that the server takes', () => {
    expect(Number(/TimeoutStopSec=(\d+)/.exec(unit)![1])).toBeGreaterThan(45);
    const config = filesOf('systemd')['words.json']!;
    accepts(config, []);
    expect(JSON.parse(config)).toMatchObject({ drainMs: 45_000, models: [{ name: 'qwen', path: '/srv/models/qwen', variant: 'q4', threads: 2 }, { name: 'tiny', path: '/srv/my models/onnx/model.onnx' }] });
  });

  test('what it cannot do is refused', () => {
    expect(() => filesOf('systemd', { models: [{ path: '/tmp/a', folder: '/tmp/a', bytes: 1 }] })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
    for (const name of ['.', '..']) expect(() => filesOf('compose', { models: [{ ...options.models[0]!, name }] })).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
    expect(() => filesOf('systemd', { name: 'a b' })).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
    expect(() => filesOf('systemd', { models: [options.models[0]!, options.models[0]!] })).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
  });

  test('an executable in a home can be read there', () => {
    const unitWith = (command: string): string => filesOf('systemd', { command })['words.service']!;
    expect(unitWith('/usr/bin/penjing')).toContain('ProtectHome=yes\n');
    for (const home of ['home', 'root']) expect(unitWith(`/${home}/a/bin/penjing`)).toContain('ProtectHome=read-only\n');
  });

  test.each([
    { command: 'penjing' }, { command: './bin/penjing' }, { command: '/tmp/penjing' }, { command: '/usr/bin/a\nExecStartPre=/bin/evil' }, { user: 'a\nExecStartPre=/bin/evil' }, { user: '%u' }, { user: 'a b' },
    { models: [{ path: '/srv/a\rb', folder: '/srv/a\rb', name: 'a', bytes: 1 }] },
  ])('%j cannot stand in a unit', (more) => {
    expect(() => filesOf('systemd', more)).toThrow(expect.objectContaining({ code: 'E_OPTION' }));
  });
});

test('compose: the project fits the schema of its specification', async () => {
  // The schema of compose-spec, as the linter has it beside its code.
  const text = await readFile(join(dirname(createRequire(import.meta.url).resolve('dclint')), '../schemas/compose.schema.json'), 'utf8');
  const valid = new Ajv2020({ strict: false, validateFormats: false }).compile({ ...(JSON.parse(text) as object), $schema: undefined });
  const files = filesOf('compose');
  const project = parse(files['compose.yaml']!) as { services: { words: Record<string, unknown> } };
  expect([valid(project), valid.errors]).toEqual([true, null]);
  expect(valid({ services: { words: { ...project.services.words, read_onyl: true } } })).toBe(false);
  expect(() => accepts(files['server.json']!, [])).toThrow(expect.objectContaining({ code: 'E_PUBLIC' }));
  accepts(files['server.json']!, key);
  expect(project.services.words['stop_grace_period']).toBe('55s');
});

test('k8s: manifests fit the schemas of Kubernetes, and what belongs together fits', () => {
  const classes = { Deployment, Service, ConfigMap, PodDisruptionBudget } as const;
  const manifests = parseAllDocuments(filesOf('k8s')['words.yaml']!).map((document) => document.toJS() as { kind: keyof typeof classes });
  expect(manifests.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Deployment', 'Service', 'PodDisruptionBudget']);
  for (const manifest of manifests) new classes[manifest.kind](manifest as never).validate();
  const [config, deployment, service, budget] = manifests as unknown as [ConfigMap, Deployment, Service, PodDisruptionBudget];
  const pod = deployment.spec!.template;
  const [container] = pod.spec!.containers as [NonNullable<typeof pod.spec>['containers'][number]];
  accepts(config.data!['server.json']!, key);
  expect(pod.metadata!.labels).toMatchObject(service.spec!.selector!);
  expect(budget.spec!.selector!.matchLabels).toEqual(deployment.spec!.selector.matchLabels);
  expect(container.ports!.map(({ name }) => name)).toContain(service.spec!.ports![0]!.targetPort);
  expect(pod.spec!.volumes!.map(({ name }) => name).sort()).toEqual(container.volumeMounts!.map(({ name }) => name).sort());
  expect(pod.spec!.terminationGracePeriodSeconds).toBe(5 + 45 + 10);
  expect(container.resources).toEqual({ requests: { cpu: '4', memory: `${Math.ceil(192 + 2 * 320 + (2 * 1.02e9) / 2 ** 20)}Mi` }, limits: { memory: expect.stringMatching(/^\d+Mi$/) as string } });
});
