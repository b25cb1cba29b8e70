/** The names that dashboards of other servers look for, beside our own: those of Triton (nv_*) and of vLLM. */
import type { ModelStatisticsMessage } from '@penjing/graph-io/v2';

export const aliasSets = ['nv', 'vllm'] as const;
export type AliasSet = (typeof aliasSets)[number];

/** Ours and vLLM's; its label for the model is `model_name`. */
const vllm: readonly (readonly [own: string, alias: string])[] = [
  ['penjing_active_requests', 'vllm:num_requests_running'],
  ['penjing_waiting_requests', 'vllm:num_requests_waiting'],
  ['penjing_prompt_tokens_total', 'vllm:prompt_tokens_total'],
  ['penjing_written_tokens_total', 'vllm:generation_tokens_total'],
  ['penjing_first_token_duration_seconds', 'vllm:time_to_first_token_seconds'],
  ['penjing_token_duration_seconds', 'vllm:inter_token_latency_seconds'],
  ['penjing_queue_duration_seconds', 'vllm:request_queue_time_seconds'],
];

/** `text` is our own exposition: the same numbers, by the other names. */
export function vllmAliases(text: string): string {
  const lines = text.split('\n');
  return vllm
    .flatMap(([own, alias]) => {
      const name = new RegExp(`^(# (?:HELP|TYPE) )?${own}(?=[ {]|_bucket\\{|_sum[ {]|_count[ {])`);
      return lines.filter((line) => name.test(line)).map((line) => line.replace(name, `$1${alias}`).replace(/(?<=[{,])model=/, 'model_name='));
    })
    .map((line) => `${line}\n`)
    .join('');
}

/** A model's statistics and how many requests wait. */
export interface NvFacts {
  readonly statistics: ModelStatisticsMessage;
  readonly waiting: number;
}

type Part = 'success' | 'fail' | 'queue' | 'computeInput' | 'computeInfer' | 'computeOutput';

const count = (part: Part) => ({ statistics: { inferenceStats } }: NvFacts): number => Number(inferenceStats?.[part]?.count ?? 0);
const microseconds = (part: Part) => ({ statistics: { inferenceStats } }: NvFacts): number => Math.round(Number(inferenceStats?.[part]?.ns ?? 0) / 1000);

const nv: readonly (readonly [name: string, type: 'counter' | 'gauge', help: string, read: (facts: NvFacts) => number, labels?: string])[] = [
  ['nv_inference_request_success', 'counter', 'Requests for tensors that were answered.', count('success')],
  ['nv_inference_request_failure', 'counter', 'Requests for tensors that failed or were refused.', count('fail'), ',reason="OTHER"'],
  ['nv_inference_count', 'counter', 'Rows that were run.', ({ statistics }) => Number(statistics.inferenceCount ?? 0)],
  ['nv_inference_exec_count', 'counter', 'Runs.', ({ statistics }) => Number(statistics.executionCount ?? 0)],
  ['nv_inference_pending_request_count', 'gauge', 'Requests that wait.', ({ waiting }) => waiting],
  ['nv_inference_request_duration_us', 'counter', 'From request to reply, microseconds, all together.', microseconds('success')],
  ['nv_inference_queue_duration_us', 'counter', 'Waiting.', microseconds('queue')],
  ['nv_inference_compute_input_duration_us', 'counter', 'Putting requests together.', microseconds('computeInput')],
  ['nv_inference_compute_infer_duration_us', 'counter', 'In the model.', microseconds('computeInfer')],
  ['nv_inference_compute_output_duration_us', 'counter', 'Taking results apart, and the ways there and back.', microseconds('computeOutput')],
];

export function nvAliases(models: readonly NvFacts[]): string {
  return nv
    .map(([name, type, help, read, more = '']) => {
      // Names of models are letters, digits and . _ -: nothing to escape.
      const values = models.map((facts) => `${name}{model="${facts.statistics.name}",version="${facts.statistics.version}"${more}} ${read(facts)}\n`);
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${values.join('')}`;
    })
    .join('');
}
