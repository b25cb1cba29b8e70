import { defineConfig } from 'vitest/config';

// Tests run on the TypeScript sources of every package, so a stale build can never pass or fail a test.
export default defineConfig({
  resolve: { conditions: ['@penjing/source'] },
  ssr: { resolve: { conditions: ['@penjing/source'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'tests/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'tests/clients/**'],
    testTimeout: 30_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
