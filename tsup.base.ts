import { defineConfig, type Options } from 'tsup';

/**
 * Builds one package: ESM, CommonJS and types for each named entry (name in dist → source file). Types take nine tenths of
 * the time and nothing that runs needs them: PENJING_DTS=0 leaves them out.
 */
export function penjingPackage(entry: Record<string, string>, extra: Options = {}): ReturnType<typeof defineConfig> {
  return defineConfig({
    entry,
    format: ['esm', 'cjs'],
    dts: true,
    target: 'node20',
    platform: 'neutral',
    splitting: true,
    sourcemap: false,
    clean: true,
    shims: true,
    treeshake: false,
    external: [/^node:/],
    ...extra,
    ...(process.env['PENJING_DTS'] === '0' && { dts: false }),
  });
}
