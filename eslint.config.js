import tseslint from 'typescript-eslint';

/** What each package may import, and the way out when it wants more. Mirrors the table in AGENTS.md. */
const borders = {
  kernels: [['@penjing/*', 'node:*'], 'kernels are pure functions: pass bytes in'],
  core: [['@penjing/*', '!@penjing/kernels', 'node:*'], 'core does no I/O and knows no sibling: take a ByteSource or an Engine'],
  quantize: [['@penjing/*', '!@penjing/core', '!@penjing/kernels', 'node:*'], 'algorithms take a Model and an Engine; wire packages in recipe'],
  compress: [['@penjing/*', '!@penjing/core', '!@penjing/kernels', 'node:*'], 'algorithms take a Model and an Engine; wire packages in recipe'],
  distill: [['@penjing/*', '!@penjing/core', '!@penjing/kernels', 'node:*'], 'algorithms take a Model and an Engine; wire packages in recipe'],
  'graph-io': [['@penjing/*', '!@penjing/core', '!@penjing/kernels'], 'formats know no algorithm and no runtime'],
  parallel: [['@penjing/*', '!@penjing/core', '!@penjing/kernels', '!@penjing/graph-io'], 'engines arrive as module specifiers'],
  runtime: [['@penjing/quantize', '@penjing/compress', '@penjing/distill', '@penjing/parallel', '@penjing/recipe'], 'wire packages in recipe'],
};

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '**/generated/**', 'packages/kernels/assembly/**', 'tests/clients/**', 'out/**', 'peers/**', '**/tsup.config.ts', '**/vitest.config.ts', '**/vite.config.ts', 'packages/*/bench/**'] },
  {
    files: ['{packages,apps,tests,bench,examples}/**/*.{ts,tsx}'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Name what you export.' }],
    },
  },
  ...Object.entries(borders).map(([name, [group, message]]) => ({
    files: [`packages/${name}/src/**/*.ts`],
    ignores: ['**/*.test.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group, message }] }] },
  })),
  {
    files: ['packages/graph-io/src/**/*.ts'],
    ignores: ['packages/graph-io/src/{node,data}/**', '**/*.test.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: [{ group: ['node:*', '@penjing/*', '!@penjing/core', '!@penjing/kernels'], message: 'the main entry runs in a browser too: files belong in src/node' }] }],
    },
  },
);
