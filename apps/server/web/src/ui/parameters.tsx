/** The panel of parameters beside a playground; folded away on a phone. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { defaultParameters, schema, setParameter, typed } from '../state/parameters.js';
import { say } from '../text/text.js';
import { NumberField, Slider, TextField } from './fields.js';

const narrow = '(max-width: 860px)';

export function ParameterPanel({ children, chat }: { readonly children: ComponentChildren; readonly chat: boolean }): JSX.Element {
  const [open, setOpen] = useState(() => !matchMedia(narrow).matches);
  useEffect(() => {
    const query = matchMedia(narrow);
    const follow = (): void => setOpen(!query.matches);
    query.addEventListener('change', follow);
    return () => query.removeEventListener('change', follow);
  }, []);
  return (
    <aside class="panel card" aria-label={say('play.parameters')}>
      {children}
      <details open={open} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>{say('play.parameters')}</summary>
        <div class="stack">
          <Parameters chat={chat} />
        </div>
      </details>
    </aside>
  );
}

function Parameters({ chat }: { readonly chat: boolean }): JSX.Element {
  const now = typed.value;
  return (
    <>
      {chat && <TextField label={say('param.system')} help={say('param.system.help')} rows={2} value={now.system} onChange={(value) => setParameter('system', value)} />}
      <Slider label={say('param.temperature')} help={say('param.temperature.help')} min={0} max={2} step={0.05} value={now.temperature} onChange={(value) => setParameter('temperature', value)} />
      <Slider label={say('param.topP')} help={say('param.topP.help')} min={0.05} max={1} step={0.05} value={now.topP} onChange={(value) => setParameter('topP', value)} />
      <div class="pair">
        <NumberField label={say('param.maxTokens')} min={1} max={1_000_000} value={now.maxTokens} onChange={(value) => setParameter('maxTokens', value)} />
        <NumberField label={say('param.topK')} min={1} max={1_000} placeholder={say('common.none')} value={now.topK} onChange={(value) => setParameter('topK', value)} />
      </div>
      <NumberField label={say('param.seed')} help={say('param.seed.help')} min={0} max={2_147_483_647} placeholder={say('common.none')} value={now.seed} onChange={(value) => setParameter('seed', value)} />
      <TextField label={say('param.stop')} help={say('param.stop.help')} rows={1} mono value={now.stop} onChange={(value) => setParameter('stop', value)} />
      <Slider label={say('param.frequency')} min={-2} max={2} step={0.1} value={now.frequencyPenalty} onChange={(value) => setParameter('frequencyPenalty', value)} />
      <Slider label={say('param.presence')} min={-2} max={2} step={0.1} value={now.presencePenalty} onChange={(value) => setParameter('presencePenalty', value)} />
      {chat && (
        <TextField
          label={say('param.schema')}
          help={say('param.schema.help')}
          wrong={schema.value === 'invalid' ? say('param.schema.invalid') : undefined}
          rows={2}
          mono
          placeholder={'{"type": "object", …}'}
          value={now.schema}
          onChange={(value) => setParameter('schema', value)}
        />
      )}
      <button type="button" class="button small" onClick={() => (typed.value = defaultParameters)}>
        {say('play.reset')}
      </button>
    </>
  );
}
