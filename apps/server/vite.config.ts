/** Builds the server's page into dist/web: one script, one style sheet, hashed names, nothing from elsewhere. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  root: fileURLToPath(new URL('web', import.meta.url)),
  // Relative, so that the page also works under a path of a proxy.
  base: './',
  // /ui/ is the one folder of the server that needs no key. The policy of the page forbids data: fonts and inline scripts, so nothing is inlined and nothing is polyfilled.
  build: { outDir: '../dist/web', assetsDir: 'ui', emptyOutDir: true, target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0, cssCodeSplit: false, reportCompressedSize: false },
  logLevel: 'warn',
  server: { proxy: Object.fromEntries(['/v1', '/v2', '/penjing', '/metrics', '/admin'].map((path) => [path, 'http://127.0.0.1:8080'])) },
});
