/** Writes docs/gguf.md from the architectures and the recorded files; `npx vitest run tests/architecture -u` renews it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ggufArchitectures } from '../../packages/graph-io/src/gguf/architectures.js';
import { preTokenizerKinds } from '../../packages/graph-io/src/tokenizer/gguf-pre-tokenizers.js';

interface Case {
  readonly name: string;
  readonly architecture: string;
  readonly class: string;
  readonly type: string;
}

test('docs/gguf.md is up to date', async () => {
  const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/gguf-models/cases.json'), 'utf8')) as { readonly cases: readonly Case[] };
  const rows = ggufArchitectures.map(({ name, className, modelType, experts = false, variant, writing }) => {
    const types = [modelType, ...(writing.modelTypes ?? [])];
    const own = cases.filter((item) => item.architecture === name && (item.class === className || types.some((type) => item.name.startsWith(type) && !experts)));
    const files = own.map((item) => (item.type === 'F16' ? item.name : `${item.name} (${item.type})`)).join(', ');
    return `| ${name}${experts ? ', experts' : variant ? `, ${variant.title}` : ''} | \`${className}\` | ${types.map((type) => `\`${type}\``).join(', ')} | ${files || '**none**'} |`;
  });
  const text = `# GGUF

GGUF files (versions 2 and 3, in one file or in shards, little-endian; every block type) of these architectures convert to ONNX, quantized blocks kept as
they are, and folders of these \`model_type\`s are written as GGUF in F32, F16, Q8_0 and Q4_0, their tokenizer included.

Each row was verified by files that gguf-py wrote of tiny seeded checkpoints, with llama.cpp's names and order of rows
(\`peers/fixtures/gguf_decoders.py\`, \`tests/fixtures/gguf-models\`): our logits are those of transformers to 1e-4; the same file written by us has the same
tensors byte for byte and the same metadata; and llama.cpp says of our file, in F32 and F16, the tokens that transformers says
(\`tests/gguf-llama-cpp.full.test.ts\`). Mixtures of experts are read with stacked and with single matrices, and written stacked.

| architecture | class | written from | files |
|---|---|---|---|
${rows.join('\n')}

There is no OPT in llama.cpp, so there is none in GGUF files either. What a config says and llama.cpp does not compute (another activation, other layers with
windows or positions than its own, scalings of rotary embeddings other than linear, YaRN, Llama 3's and Phi-3's longrope) is refused by the name of the field.
llama.cpp knows no windows in Llama, Qwen and SmolLM3: the context that is written ends where one would begin to matter.

**Types.** Norms, biases, tables of positions and the routers of experts are F32 always. Embeddings and head are of the chosen type. A matrix whose rows are no
whole blocks of 32 is F16, as llama.cpp's own quantizer has it.

**Vocabularies.** \`llama\` (SentencePiece BPE), \`gpt2\` (byte-level BPE), \`bert\` (WordPiece) and \`t5\` (Unigram) become \`tokenizer.json\`; \`rwkv\` and
\`plamo2\` have rules of their own and are refused by name. Of byte-level BPE these \`tokenizer.ggml.pre\` are known:
${Object.keys(preTokenizerKinds).map((pre) => `\`${pre}\``).join(', ')}.

This page is written by \`npx vitest run tests/architecture -u\`.
`;
  await expect(text).toMatchFileSnapshot('../../docs/gguf.md');
});
