import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exportedNames, resolveRelative, root, sourceFiles, unseenModules } from './sources.js';

/** The arrows of the architecture: what each home may import of ours, whose types it may use besides, and whether it may touch Node. */
const arrows: Readonly<Record<string, { readonly imports: readonly string[]; readonly types?: readonly string[]; readonly node: boolean | RegExp }>> = {
  'packages/kernels': { imports: [], node: false },
  'packages/core': { imports: ['@penjing/kernels'], node: false },
  'packages/graph-io': { imports: ['@penjing/core', '@penjing/core/reference', '@penjing/core/rewrite', '@penjing/kernels'], node: /^packages\/graph-io\/src\/(node|data)\// },
  'packages/quantize': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/linalg', '@penjing/core/rewrite', '@penjing/kernels'], node: false },
  'packages/compress': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/linalg', '@penjing/core/rewrite', '@penjing/kernels'], node: false },
  'packages/distill': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/rewrite', '@penjing/kernels'], node: false },
  'packages/parallel': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/rewrite', '@penjing/kernels', '@penjing/graph-io/v2', '@penjing/parallel/node', '@penjing/parallel'], node: /^packages\/parallel\/src\/(node|nats|grpc)\// },
  'packages/runtime': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/reference', '@penjing/core/rewrite', '@penjing/kernels', '@penjing/graph-io', '@penjing/graph-io/data', '@penjing/graph-io/node'], node: true },
  'packages/recipe': { imports: ['@penjing/core', '@penjing/core/calibrate', '@penjing/core/rewrite', '@penjing/graph-io', '@penjing/graph-io/data', '@penjing/graph-io/node', '@penjing/quantize', '@penjing/compress', '@penjing/distill', '@penjing/parallel', '@penjing/parallel/node', '@penjing/parallel/nats', '@penjing/parallel/grpc', '@penjing/runtime', '@penjing/kernels'], node: true },
  'apps/cli': { imports: ['@penjing/core', '@penjing/recipe', '@penjing/recipe/pool', '@penjing/recipe/recipe.schema.json', '@penjing/runtime', '@penjing/parallel', '@penjing/server'], node: true },
  'apps/server': { imports: ['@penjing/core', '@penjing/graph-io/v2', '@penjing/recipe', '@penjing/recipe/graphs', '@penjing/runtime', '@penjing/parallel', '@penjing/parallel/node'], node: true },
  // What the server sends the page has one type; nothing of it is in the page.
  'apps/server/web': { imports: [], types: ['@penjing/recipe/graphs'], node: false },
};

/** Files that may be long: tables of facts. */
const TABLES = /^packages\/core\/src\/(ops|infer|reference)\/|schema\.ts$/;
const MAX_LINES = 400;

const files = sourceFiles();

describe('architecture', () => {
  test('every import follows the arrows', () => {
    const wrong = files.flatMap(({ path, home, imports }) =>
      imports.flatMap(({ specifier, typeOnly }) => {
        const rule = arrows[home];
        if (!rule) return [`${home} is not in the table`];
        if (specifier.startsWith('node:')) {
          const allowed = rule.node === true || (rule.node instanceof RegExp && rule.node.test(path));
          return allowed ? [] : [`${path} imports ${specifier}`];
        }
        if (specifier.startsWith('@penjing/') || specifier === 'penjing') {
          return rule.imports.includes(specifier) || (typeOnly && rule.types?.includes(specifier)) ? [] : [`${path} imports ${specifier}`];
        }
        return specifier.startsWith('.') && !resolveRelative(path, specifier).startsWith(`${home}/`) ? [`${path} leaves its package: ${specifier}`] : [];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test('there are no import cycles', () => {
    const edges = new Map(
      files.map(({ path, imports }) => [
        path,
        imports.filter(({ specifier, typeOnly, lazy }) => specifier.startsWith('.') && !typeOnly && !lazy).map(({ specifier }) => resolveRelative(path, specifier)),
      ]),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
      if (done.has(path) || trail.includes(path)) return;
      for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of edges.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test('a file is one idea: at most 400 lines, tables apart', () => {
    const long = files.filter(({ path, lines }) => lines > MAX_LINES && !TABLES.test(path));
    expect(long.map(({ path, lines }) => `${path} ${lines}`)).toEqual([]);
  });

  test('every file opens with a sentence', () => {
    const bare = files.filter(({ text }) => !text.startsWith('/**') && !text.startsWith('#!') && !text.startsWith('// Generated'));
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  test('no module is of a kind that types, lint and these tests do not look at', () => {
    expect(unseenModules()).toEqual([]);
  });

  test('no default exports, no any', () => {
    const wrong = files.filter(({ text }) => /^export default /m.test(text) || /[:<]\s*any\b[^.'`a-z]/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')));
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test('changesets name packages that are there', () => {
    const names = new Set(Object.keys(arrows).filter((home) => !home.endsWith('/web')).map((home) => (JSON.parse(readFileSync(join(root, home, 'package.json'), 'utf8')) as { name: string }).name));
    const notes = readdirSync(join(root, '.changeset')).filter((name) => name.endsWith('.md') && name !== 'README.md');
    const wrong = notes.flatMap((note) => {
      const [, head = ''] = readFileSync(join(root, '.changeset', note), 'utf8').split(/^---$/m);
      return [...head.matchAll(/^['"]?([^'":\s]+)['"]?:/gm)].filter(([, name]) => !names.has(name!)).map(([, name]) => `${note}: ${name}`);
    });
    expect(wrong).toEqual([]);
  });

  test('every package has a README, and its entries exist', () => {
    const problems = Object.keys(arrows).flatMap((home) => {
      const missing = existsSync(join(root, home, 'README.md')) ? [] : [`${home}/README.md`];
      if (home.endsWith('/web')) return missing;
      const { exports = {} } = JSON.parse(readFileSync(join(root, home, 'package.json'), 'utf8')) as { exports?: Record<string, unknown> };
      const sources = Object.values(exports).flatMap((entry) =>
        typeof entry === 'object' && entry !== null && '@penjing/source' in entry ? [String(entry['@penjing/source'])] : [],
      );
      return [...missing, ...sources.filter((path) => !existsSync(join(root, home, path))).map((path) => `${home}/${path}`)];
    });
    expect(problems).toEqual([]);
  });

  test.each(Object.keys(arrows).filter((home) => home.startsWith('packages/')))('%s exports the names of its snapshot', async (home) => {
    const { exports = {} } = JSON.parse(readFileSync(join(root, home, 'package.json'), 'utf8')) as { exports?: Record<string, unknown> };
    const names = Object.entries(exports).flatMap(([entry, target]) => {
      if (typeof target !== 'object' || target === null || !('@penjing/source' in target)) return [];
      return [`[${entry}]`, ...exportedNames(join(home, String(target['@penjing/source'])))];
    });
    await expect(names.join('\n') + '\n').toMatchFileSnapshot(`./public-names/${home.split('/')[1]}.txt`);
  });
});
