/** Text completion: what a base model does, with or without a chat template. */
import type { JSX } from 'preact';
import { adoptContinuation, beginning, complete, completing, completionStats, continuation } from '../state/completion.js';
import { modelFor } from '../state/models.js';
import { say } from '../text/text.js';
import { CopyButton } from '../ui/copy-button.js';
import { TextField } from '../ui/fields.js';
import { GenerationFacts } from '../ui/generation-facts.js';
import { Icon } from '../ui/icons.js';
import { ModelPicker, NoModel } from '../ui/model-picker.js';
import { Notice } from '../ui/notice.js';
import { ParameterPanel } from '../ui/parameters.js';
import { RunButton } from '../ui/run-button.js';

export function CompleteView(): JSX.Element {
  const model = modelFor('completions');
  const busy = completing.busy.value;
  const error = completing.error.value;
  const start = (event: Event): void => {
    event.preventDefault();
    if (model !== undefined) void complete(model);
  };
  return (
    <div class="split">
      <ParameterPanel chat={false}>
        <ModelPicker playground="complete" />
      </ParameterPanel>
      <div class="stack">
        <form class="card padded stack" onSubmit={start}>
          <TextField label={say('complete.input')} rows={6} placeholder={say('complete.placeholder')} value={beginning.value} onChange={(value) => (beginning.value = value)} />
          <div class="row end">
            <RunButton run={completing} words={say('complete.run')} disabled={model === undefined || beginning.value === ''} />
          </div>
        </form>
        <section class="card padded" aria-labelledby="continuation">
          <h2 id="continuation">{say('complete.output')}</h2>
          {model === undefined && <NoModel playground="complete" />}
          <div aria-live="polite" aria-busy={busy}>
            {continuation.value === '' && !busy && model !== undefined && error === undefined && <p class="soft">{say('complete.empty')}</p>}
            {(continuation.value !== '' || busy) && (
              <p class="said">
                <span class="soft">{tail(beginning.value)}</span>
                {continuation.value}
                {busy && <span class="cursor" aria-hidden="true" />}
              </p>
            )}
          </div>
          <GenerationFacts stats={completionStats.value} stopped={completing.stopped.value} />
          {error !== undefined && <Notice error={error} />}
          {!busy && continuation.value !== '' && (
            <div class="row after">
              <button type="button" class="button quiet small" onClick={adoptContinuation}>
                <Icon name="play" />
                {say('complete.adopt')}
              </button>
              <CopyButton text={continuation.value} />
            </div>
          )}
        </section>
      </div>
    </div>
  );
}

/** The last words before the continuation, so that the eye finds the join. */
function tail(text: string): string {
  const line = text.slice(-200);
  return line.length < text.length ? `…${line}` : line;
}
