/** The models of the repository: their state, what they do, and loading them. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { loadModel, type ModelEntry, type ModelState, unloadModel } from '../api/models.js';
import { hrefOf } from '../router.js';
import { canManage, models, modelsError, refreshModels } from '../state/models.js';
import { say, sayBytes } from '../text/text.js';
import { Notice } from '../ui/notice.js';
import { StateMark } from '../ui/state-mark.js';

/** What the reader asked for and the server has not done yet. */
const pending = signal<ReadonlyMap<string, 'load' | 'unload'>>(new Map());
const failure = signal<unknown>(undefined);
const said = signal('');

async function change(name: string, what: 'load' | 'unload'): Promise<void> {
  pending.value = new Map(pending.value).set(name, what);
  failure.value = undefined;
  try {
    await (what === 'load' ? loadModel(name) : unloadModel(name));
    said.value = say(what === 'load' ? 'models.loaded' : 'models.unloaded', { name });
  } catch (error) {
    failure.value = error;
  } finally {
    await refreshModels();
    const rest = new Map(pending.value);
    rest.delete(name);
    pending.value = rest;
  }
}

export function ModelsView(): JSX.Element {
  const list = models.value;
  const ready = list?.filter(({ state }) => state === 'READY').length ?? 0;
  return (
    <div class="stack">
      <div class="row spread">
        <h1>{say('models.title')}</h1>
        {list && list.length > 0 && <span class="soft small">{say('models.count', { ready, all: list.length })}</span>}
      </div>
      <p class="hidden-visually" role="status">
        {said.value}
      </p>
      {failure.value !== undefined && <Notice error={failure.value} />}
      {modelsError.value !== undefined && <Notice error={modelsError.value} onRetry={() => void refreshModels()} />}
      {!list && modelsError.value === undefined && <div class="card empty">{say('common.loading')}</div>}
      {list?.length === 0 && (
        <div class="card empty">
          <strong>{say('models.empty')}</strong>
          <span>{say('models.empty.hint')}</span>
        </div>
      )}
      {list && list.length > 0 && (
        <div class="card">
          <table class="models">
            <thead>
              <tr>
                <th scope="col">{say('models.name')}</th>
                <th scope="col">{say('models.state')}</th>
                <th scope="col">{say('models.does')}</th>
                <th scope="col" class="number">
                  {say('models.context')}
                </th>
                <th scope="col" class="number">
                  {say('models.size')}
                </th>
                <th scope="col" class="number">
                  {say('models.memory')}
                </th>
                {canManage.value && (
                  <th scope="col">
                    <span class="hidden-visually">{say('models.actions')}</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {list.map((model) => (
                <Row key={`${model.name}/${model.version}`} model={model} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function Row({ model: { name, version, state, reason, tasks, bytes, contextLength, memoryBytes } }: { readonly model: ModelEntry }): JSX.Element {
  const asked = pending.value.get(name);
  const now = asked === 'load' ? 'LOADING' : asked === 'unload' ? 'UNLOADING' : state;
  const busy = now === 'LOADING' || now === 'UNLOADING';
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf({ page: 'model', model: name, tab: 'graph' })}>{name}</a>
        {version !== undefined && (
          <span class="soft small">
            {' '}
            {say('models.version')} {version}
          </span>
        )}
      </th>
      <td>
        <StateMark state={now} />
        {reason !== undefined && !busy && <div class="soft small">{reason}</div>}
      </td>
      <td>
        <span class="chips">
          {tasks.map((task) => (
            <span key={task} class="chip">
              {say(`task.${task}`)}
            </span>
          ))}
        </span>
      </td>
      <td class="number" data-label={say('models.context')}>
        {contextLength?.toLocaleString('en')}
      </td>
      <td class="number" data-label={say('models.size')}>
        {bytes !== undefined && sayBytes(bytes)}
      </td>
      <td class="number" data-label={say('models.memory')}>
        {memoryBytes !== undefined && sayBytes(memoryBytes)}
      </td>
      {canManage.value && <Action name={name} state={now} />}
    </tr>
  );
}

/** Words on the button say what happens now, its name what it will do to which model. */
function Action({ name, state }: { readonly name: string; readonly state: ModelState }): JSX.Element {
  const isUp = state === 'READY';
  const busy = state === 'LOADING' || state === 'UNLOADING';
  return (
    <td class="action">
      <button type="button" class="button small" disabled={busy} aria-label={`${say(isUp ? 'models.unload' : 'models.load')} ${name}`} onClick={() => void change(name, isUp ? 'unload' : 'load')}>
        {say(state === 'LOADING' ? 'models.loading' : state === 'UNLOADING' ? 'models.unloading' : isUp ? 'models.unload' : 'models.load')}
      </button>
    </td>
  );
}
