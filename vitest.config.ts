import { defineConfig } from 'vitest/config';

const full = process.env['PENJING_FULL'] === '1';

// Tests run on the TypeScript sources of every package, so a stale build can never pass or fail a test.
export default defineConfig({
  resolve: { conditions: ['@penjing/source'] },
  ssr: { resolve: { conditions: ['@penjing/source'] } },
  test: {
    include: full
      ? ['{packages,apps}/*/{src,web/src}/**/*.full.test.ts', 'tests/**/*.full.test.ts']
      : ['{packages,apps}/*/{src,web/src}/**/*.test.ts', 'tests/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', 'tests/clients/**', ...(full ? [] : ['**/*.full.test.ts'])],
    testTimeout: full ? 600_000 : 60_000,
    hookTimeout: 60_000,
    // Loading the packages anew for every file took as long as the tests. No file mocks modules or leaves globals changed; heavy tests keep a process of their own.
    isolate: full,
    setupFiles: ['./vitest.setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
  },
});
