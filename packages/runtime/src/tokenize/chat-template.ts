/** Prompts of conversations from the Jinja templates of Hugging Face. */
import { Template } from '@huggingface/jinja';
import { PenjingError } from '@penjing/core';

export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Whether the prompt ends where the answer begins; true when absent. */
  readonly addGenerationPrompt?: boolean;
  /** Name of the template, for tokenizers that have several. */
  readonly name?: string;
  /** Functions the model may call, as JSON schemas. */
  readonly tools?: readonly unknown[];
  /** Further variables of the template, for example `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplates {
  readonly available: boolean;
  apply(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
}

/** `source` is what `chat_template` holds: one template, or a list of named ones. */
export function chatTemplates(source: unknown, special: Readonly<Record<string, string>>): ChatTemplates {
  const sources = namedSources(source);
  const parsed = new Map<string, Template>();

  const find = (wanted: string | undefined, tools: boolean): Template => {
    const name = wanted ?? (tools && sources.has('tool_use') ? 'tool_use' : 'default');
    const text = sources.get(name);
    if (text === undefined) {
      throw new PenjingError('E_CHAT_TEMPLATE', sources.size === 0 ? 'this model has no chat template' : `there is no chat template ${name}`, {
        hint: sources.size === 0 ? 'It is not a chat model: use generate with a plain prompt.' : `The templates are ${[...sources.keys()].join(', ')}.`,
      });
    }
    const template = parsed.get(name) ?? attempt(() => new Template(text));
    parsed.set(name, template);
    return template;
  };
  return {
    available: sources.size > 0,
    apply(messages, { addGenerationPrompt = true, name, tools, variables } = {}) {
      const template = find(name, tools !== undefined);
      return attempt(() =>
        template.render({
          ...special,
          messages,
          add_generation_prompt: addGenerationPrompt,
          ...(tools ? { tools } : {}),
          ...variables,
        }),
      );
    },
  };
}

function namedSources(source: unknown): Map<string, string> {
  const named = new Map<string, string>();
  if (typeof source === 'string') named.set('default', source);
  if (Array.isArray(source)) {
    for (const entry of source as { name?: unknown; template?: unknown }[]) {
      if (typeof entry?.name === 'string' && typeof entry.template === 'string') named.set(entry.name, entry.template);
    }
  }
  return named;
}

/** Templates refuse conversations they do not know (`raise_exception`), and some use what no engine has. */
function attempt<T>(body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw new PenjingError('E_CHAT_TEMPLATE', `the chat template failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
      hint: 'Check the roles and their order; many templates want user and assistant to alternate.',
    });
  }
}
