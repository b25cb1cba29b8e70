/** The choice of a model that can do what the playground needs. */
import type { JSX } from 'preact';
import type { ModelTask } from '../api/models.js';
import type { Playground } from '../router.js';
import { hrefOf } from '../router.js';
import { chosenModel, modelFor, models, modelsError, modelsFor, refreshModels } from '../state/models.js';
import { say } from '../text/text.js';
import { Field } from './fields.js';
import { Notice } from './notice.js';

export const taskOf: Readonly<Record<Playground, ModelTask>> = { chat: 'chat', complete: 'completions', embed: 'embeddings', tensors: 'infer' };

export function ModelPicker({ playground }: { readonly playground: Playground }): JSX.Element {
  const task = taskOf[playground];
  const able = modelsFor(task);
  return (
    <Field label={say('common.model')}>
      {(ids) => (
        <select {...ids} value={modelFor(task) ?? ''} disabled={able.length === 0} onChange={({ currentTarget }) => (chosenModel.value = currentTarget.value)}>
          {able.length === 0 && <option value="">{say('picker.empty')}</option>}
          {able.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Stands where results would, as long as no model can give any. */
export function NoModel({ playground }: { readonly playground: Playground }): JSX.Element {
  if (modelsError.value !== undefined && !models.value) return <Notice error={modelsError.value} onRetry={() => void refreshModels()} />;
  if (!models.value) return <div class="empty">{say('common.loading')}</div>;
  return (
    <div class="empty">
      <strong>{say('picker.empty')}</strong>
      <span>{say(`picker.empty.${playground}`)}</span>
      <a href={hrefOf({ page: 'models' })}>{say('picker.empty.link')}</a>
    </div>
  );
}
