/** Embeddings of several texts, compared pair by pair. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { type Embedded, embedTexts, similarities } from '../api/embeddings.js';
import { modelFor } from '../state/models.js';
import { createRun } from '../state/run.js';
import { say, sayNumber } from '../text/text.js';
import { Icon } from '../ui/icons.js';
import { ModelPicker, NoModel } from '../ui/model-picker.js';
import { Notice } from '../ui/notice.js';
import { RunButton } from '../ui/run-button.js';

const MAX_TEXTS = 16;

/** undefined until the reader changes something: then the samples follow the language. */
const written = signal<readonly string[] | undefined>(undefined);
const comparing = createRun<{ readonly texts: readonly string[]; readonly embedded: Embedded }>();

const samples = (): readonly string[] => [say('embed.sample.1'), say('embed.sample.2'), say('embed.sample.3')];

function compare(model: string, texts: readonly string[]): Promise<void> {
  return comparing.start(async (signal) => ({ texts, embedded: await embedTexts(model, texts, signal) }));
}

export function EmbedView(): JSX.Element {
  const model = modelFor('embeddings');
  const texts = written.value ?? samples();
  const asked = texts.map((text) => text.trim()).filter((text) => text !== '');
  const change = (i: number, text: string): void => {
    written.value = texts.map((old, k) => (k === i ? text : old));
  };
  return (
    <div class="split even">
      <form
        class="card padded stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (model !== undefined) void compare(model, asked);
        }}
      >
        <ModelPicker playground="embed" />
        <fieldset class="texts">
          <legend>{say('embed.input')}</legend>
          {texts.map((text, i) => (
            <div class="with-button" key={i}>
              <textarea rows={1} aria-label={say('embed.text', { n: i + 1 })} value={text} onInput={({ currentTarget }) => change(i, currentTarget.value)} />
              <button type="button" class="button quiet icon" disabled={texts.length < 3} aria-label={say('embed.remove', { n: i + 1 })} title={say('common.remove')} onClick={() => (written.value = texts.filter((_, k) => k !== i))}>
                <Icon name="close" />
              </button>
            </div>
          ))}
        </fieldset>
        <div class="row spread">
          <button type="button" class="button quiet" disabled={texts.length >= MAX_TEXTS} onClick={() => (written.value = [...texts, ''])}>
            <Icon name="plus" />
            {say('embed.add')}
          </button>
          <RunButton run={comparing} words={say('embed.run')} disabled={model === undefined || asked.length < 2} />
        </div>
      </form>
      <section class="card padded" aria-live="polite" aria-busy={comparing.busy.value} aria-labelledby="likeness">
        <h2 id="likeness">{say('embed.result')}</h2>
        {comparing.error.value !== undefined && <Notice error={comparing.error.value} />}
        {comparing.result.value ? <Matrix {...comparing.result.value} /> : model === undefined ? <NoModel playground="embed" /> : <div class="empty">{say('embed.empty')}</div>}
      </section>
    </div>
  );
}

function Matrix({ texts, embedded: { vectors, tokens, ms } }: { readonly texts: readonly string[]; readonly embedded: Embedded }): JSX.Element {
  const cells = similarities(vectors);
  return (
    <>
      <p class="soft small">
        {say('embed.result.help')} {say('embed.facts', { dims: vectors[0]?.length ?? 0, tokens: tokens ?? '–', ms: sayNumber(ms) })}
      </p>
      <div class="scroll">
        <table class="matrix">
          <thead>
            <tr>
              <td />
              {texts.map((text, i) => (
                <th key={i} scope="col" title={text}>
                  {i + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {cells.map((row, i) => (
              <tr key={i}>
                <th scope="row">
                  <span class="chip">{i + 1}</span> <span class="text">{texts[i]}</span>
                </th>
                {row.map((value, j) => (
                  <td key={j} style={{ '--level': String(Math.max(0, value)) }}>
                    {value.toFixed(2).replace('-', '−')}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
