/** Shared by the root scripts: run a command, install the workspace, build it. Needs nothing but Node and npm. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Penjing needs Node 20.19 or newer; this is ${process.version}.`);
  process.exit(1);
}

/** Runs a command in the repository and ends the process when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (result.status !== 0 && !options.allowFailure) {
    console.error(`\n${[command, ...args].join(' ')} failed${result.signal ? ` (${result.signal})` : ''}`);
    process.exit(result.status ?? 1);
  }
  return result.status ?? 1;
}

/** pnpm in the version that package.json names, without a global installation. */
export function pnpm(args, options) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return run('npx', ['--yes', packageManager, ...args], options);
}

/** Installs dependencies unless the lock file is the one installed last. */
export function install() {
  const stamp = join(root, 'node_modules', '.penjing-lock');
  const lock = createHash('sha256').update(readFileSync(join(root, 'pnpm-lock.yaml'))).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  pnpm(['install', '--frozen-lockfile', '--prefer-offline']);
  writeFileSync(stamp, lock);
}

/** Builds every package and app that changed since the last build. Types take most of the time; only packing needs them. */
export function build({ types = true } = {}) {
  turbo('build', { env: types ? {} : { PENJING_DTS: '0' } });
}

/** Runs a task in every package that has it: one line of output, and everything when it fails. */
export function turbo(task, options = {}) {
  const env = { TURBO_TELEMETRY_DISABLED: '1', TURBO_NO_UPDATE_NOTIFIER: '1', DO_NOT_TRACK: '1', ...options.env };
  const args = ['turbo', 'run', task, '--output-logs=errors-only', '--log-order=grouped'];
  const log = join(root, 'node_modules', `.penjing-${task}.log`);
  const file = openSync(log, 'w');
  const started = performance.now();
  const status = run('npx', args, { ...options, env, stdio: ['ignore', file, file], allowFailure: true });
  closeSync(file);
  if (status !== 0) {
    process.stderr.write(readFileSync(log));
    console.error(`\n${task} failed`);
    if (!options.allowFailure) process.exit(status);
    return status;
  }
  console.log(`${task}: done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  return 0;
}

/** Each part of the tree in its own process, which bounds the memory; gives 0 when all are clean. */
export function lint() {
  const parts = [['packages'], ['apps'], ['tests', 'bench', 'examples', 'scripts', 'eslint.config.js']];
  return Math.max(...parts.map((part) => run('npx', ['eslint', ...part, '--max-warnings', '0'], { allowFailure: true })));
}

/** The folder of test data: PENJING_TESTDATA, or ../shared/data when that exists. */
export function testData() {
  if (process.env.PENJING_TESTDATA) return process.env.PENJING_TESTDATA;
  const beside = join(root, '..', 'shared', 'data');
  return existsSync(beside) ? beside : undefined;
}

/** Runs vitest, on what was built where tests start the command line, and writes its counts to out/<name>.json. */
export function vitest(name, args, env = {}) {
  mkdirSync(join(root, 'out'), { recursive: true });
  const data = testData();
  return run('npx', ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=out/${name}.json`, ...args], {
    allowFailure: true,
    env: { ...(data ? { PENJING_TESTDATA: data } : {}), PENJING_BUILT: '1', ...env },
  });
}
