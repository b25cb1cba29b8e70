/** Writes docs/architectures.md from the registry and the recorded cases; `npx vitest run tests/architecture -u` renews it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { supportedClasses } from '@penjing/graph-io';
import { expect, test } from 'vitest';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

interface Case {
  readonly name: string;
  readonly class?: string;
  readonly task?: string;
  readonly tasks?: readonly string[];
}

/** Every case that was recorded with transformers; those of the Llama family name no class. */
function recordedCases(): { readonly folder: string; readonly className: string; readonly tasks: readonly string[]; readonly name: string }[] {
  return readdirSync(fixtures).flatMap((folder) => {
    const path = join(fixtures, folder, 'cases.json');
    if (!existsSync(path)) return [];
    const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases?: readonly Case[] };
    if (!Array.isArray(cases) || !Object.hasOwn(checks, folder)) return [];
    return (cases as readonly Case[]).map(({ name, class: className = 'LlamaForCausalLM', task = 'text-generation', tasks = [task] }) => ({ folder, className, tasks, name }));
  });
}

const checks: Readonly<Record<string, string>> = {
  llama: 'prefill, left-padded batch, steps with cache, chunks, greedy text; both forms of attention',
  decoders: 'prefill, left-padded batch, steps with cache, chunks, greedy text; both forms of attention',
  encoders: 'whole outputs, padded batches',
  sentences: 'states of tokens and embeddings of sentences, padded on either side',
  'text-parts': 'the whole model reads a text, and a left-padded batch; both forms of attention',
  seq2seq: 'encoder, decoder prefill and steps with cache, padded batch, greedy text',
};

test('docs/architectures.md is up to date', async () => {
  const cases = recordedCases();
  const rows = supportedClasses().flatMap(({ modelType, className, tasks, textOnly }) =>
    tasks.map((task, i) => {
      const own = cases.filter((item) => item.className === className && item.tasks.includes(task));
      const part = textOnly ? 'its decoder of texts alone; ' : '';
      const how = own.length > 0 ? `${own.length} ${own.length === 1 ? 'checkpoint' : 'checkpoints'}: ${checks[own[0]!.folder]!}` : verifiedBy(modelType, task, cases);
      return `| ${modelType} | \`${className}\` | ${task}${i === 0 ? '' : ' (`--task`)'} | ${part}${how} |`;
    }),
  );
  const text = `# Architectures

Hugging Face folders (and GGUF files of the decoders) convert to ONNX for these classes of \`architectures\` in config.json. The task is that of the
class; \`--task\` asks for another. Each row was verified number by number on ONNX Runtime: seeded checkpoints with the outputs that transformers (and sentence-transformers) computes
with them in float32 (\`peers/fixtures\`, \`tests/fixtures\`), largest absolute difference at most 1e-4.

This page is written by \`npx vitest run tests/architecture -u\`.

| model | class | task | verified by |
|---|---|---|---|
${rows.join('\n')}
`;
  await expect(text).toMatchFileSnapshot('../../docs/architectures.md');
});

/** Tasks whose heads decoders share, and decoders that verify them. */
const READING: ReadonlySet<string> = new Set(['feature-extraction', 'text-classification', 'token-classification', 'question-answering', 'sentence-similarity']);
const DECODERS = /^(Llama|GPT2|GPTNeoX)/;

/** A class without cases of its own shares the code of a sibling that has some; a class that nothing verifies says so. */
function verifiedBy(modelType: string, task: string, cases: ReturnType<typeof recordedCases>): string {
  const siblings = new Set(supportedClasses().filter((item) => item.modelType === modelType).map(({ className }) => className));
  const own = cases.find(({ className, tasks }) => siblings.has(className) && tasks.includes(task));
  const shared = own ?? cases.find(({ className }) => siblings.has(className));
  if (!shared) return '**not verified**';
  if (own || !READING.has(task)) return `shares its code with \`${shared.className}\``;
  // all decoders have the same heads: what one of them verifies of the head, the sibling verifies of the layers
  const head = cases.find(({ folder, tasks, className }) => (folder === 'encoders' || folder === 'sentences') && tasks.includes(task) && DECODERS.test(className));
  return head ? `layers of \`${shared.className}\`, head of \`${head.className}\`` : `shares its code with \`${shared.className}\``;
}
