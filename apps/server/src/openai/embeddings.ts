/** POST /v1/embeddings. */
import { endianness } from 'node:os';
import { z } from 'zod';
import type { RouteModule } from '../context.js';
import { readJson } from '../http/body.js';
import { variantHeader } from '../http/variant-header.js';
import { optional, refused } from './fields.js';
import { timingHeader } from './write.js';

/** OpenAI's limit. */
const MOST_TEXTS = 2048;
const text = z.string().min(1, 'an empty text has no embedding');

export const embeddingRequestSchema = z.object({
  model: z.string().min(1).max(128),
  input: z.union([text, z.array(text).min(1).max(MOST_TEXTS)], { error: `must be a text, or a list of 1 to ${MOST_TEXTS} texts, none of them empty` }),
  encoding_format: optional(z.enum(['float', 'base64'])),
  dimensions: optional(z.int().min(1).max(2 ** 20)),
  user: optional(z.string()),
});

export const embeddings: RouteModule = (app, { models, metrics, tracing, config }) => {
  app.post('/v1/embeddings', async (c) => {
    const { model: name, input, encoding_format: format = 'float', dimensions } = await readJson(c.req.raw, embeddingRequestSchema, config.limits);
    const model = models.getFor(name, 'embed');
    const signal = c.get('signal')();
    let queue = 0;
    let compute = 0;
    const { embeddings: vectors, tokens } = await tracing.during((stage) => model.admission.run(
      async () => {
        const started = performance.now();
        const result = await model.call('embed', { texts: typeof input === 'string' ? [input] : input }, { signal });
        compute = performance.now() - started;
        stage('embed', compute, { 'penjing.model': name, 'gen_ai.usage.input_tokens': result.tokens });
        return result;
      },
      {
        signal,
        onBegin(waited) {
          queue = waited;
          stage('queue', waited, { 'penjing.model': name });
          metrics.queueSeconds.observe({ model: name }, waited / 1000);
        },
      },
    ));
    metrics.promptTokens.inc({ model: name }, tokens);
    const width = vectors[0]!.length;
    if (dimensions !== undefined && dimensions !== width) throw refused('dimensions', `the embeddings of this model have ${width}`, 'Leave it out: a part of an embedding is not one, but for models that were trained so.');
    const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: format === 'base64' ? base64Of(vector) : [...vector] }));
    return c.json({ object: 'list', data, model: name, usage: { prompt_tokens: tokens, total_tokens: tokens } }, 200, { ...timingHeader({ queue, compute }), ...variantHeader(model) });
  });
};

/** Little-endian float32. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return (endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32()).toString('base64');
}
