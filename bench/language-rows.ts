/** The rows of the language table: a name and the command that makes it. */

export interface LanguageRow {
  readonly name: string;
  /** Verb and options. */
  readonly steps: readonly string[];
  readonly calibrated?: boolean;
}

const quantize = (method: string, bits: number, block: number, ...more: string[]): LanguageRow => ({
  name: `${method} ${bits} bits block ${block}${more.length > 0 ? ` ${more.join(' ').replaceAll('--', '')}` : ''}`,
  // float32 activations: only the weights are judged
  steps: ['quantize', '--method', method, '--bits', String(bits), '--block-size', String(block), '--asymmetric', '--accuracy-level', '1', '--no-embeddings', ...more],
  calibrated: method === 'gptq' || method === 'awq',
});

const factors = (method: string, ratio: number): LanguageRow => ({
  name: `${method} rank ratio ${ratio}`,
  steps: ['lowrank', '--method', method, '--rank-ratio', String(ratio)],
  calibrated: method !== 'svd',
});

const prune = (method: string, option: '--sparsity' | '--pattern', goal: string): LanguageRow => ({
  name: `${method} ${option === '--sparsity' ? `${100 * Number(goal)} %` : goal}`,
  steps: ['prune', '--method', method, option, goal],
  calibrated: method !== 'magnitude',
});

const palette = (method: string, bits: number, ...more: string[]): LanguageRow => ({
  name: `${method} palette ${bits} bits${more.length > 0 ? ` ${more.join(' ').replaceAll('--', '')}` : ''}`,
  steps: ['cluster', '--method', method, '--bits', String(bits), '--no-embeddings', ...more],
  calibrated: method !== 'kmeans',
});

export const languageRows: readonly LanguageRow[] = [
  { name: 'fp32', steps: ['convert'] },
  { name: 'rtn 8 bits block 32', steps: ['quantize', '--bits', '8'] },
  { name: 'rtn 4 bits block 32 symmetric, embeddings too, int8 activations', steps: ['quantize', '--bits', '4'] },
  ...[4, 3, 2].flatMap((bits) => ['rtn', 'hqq', 'awq', 'gptq'].map((method) => quantize(method, bits, 128))),
  ...[4, 2].flatMap((bits) => ['rtn', 'gptq'].map((method) => quantize(method, bits, 32))),
  ...[0.8, 0.5].flatMap((ratio) => ['svd', 'asvd', 'svd-llm'].map((method) => factors(method, ratio))),
  ...([['--sparsity', '0.5'], ['--pattern', '2:4'], ['--pattern', '4:8']] as const).flatMap(([option, goal]) => ['magnitude', 'wanda', 'sparsegpt'].map((method) => prune(method, option, goal))),
  ...[4, 3, 2].flatMap((bits) => ['kmeans', 'sensitivity'].map((method) => palette(method, bits))),
  palette('kmeans', 3, '--outputs', '16'),
];
