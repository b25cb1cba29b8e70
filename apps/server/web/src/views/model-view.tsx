/** One model: its graph, its variants with their reports, and its signature. */
import type { JSX } from 'preact';
import { type GraphFile, listGraphs } from '../api/graph.js';
import { hrefOf, type ModelTab, modelTabs } from '../router.js';
import { models } from '../state/models.js';
import { say } from '../text/text.js';
import { GraphTable } from '../ui/graph-table.js';
import { Notice } from '../ui/notice.js';
import { Signature } from '../ui/signature.js';
import { StateMark } from '../ui/state-mark.js';
import { Variants } from '../ui/variants.js';
import { useRead } from './use-read.js';

export function ModelView({ model, tab }: { readonly model: string; readonly tab: ModelTab }): JSX.Element {
  const entry = models.value?.find(({ name, state }) => name === model && state === 'READY') ?? models.value?.find(({ name }) => name === model);
  const isReady = entry?.state === 'READY';
  const { value: graphs, error, again } = useRead((signal) => listGraphs(model, signal), [model, isReady]);
  return (
    <div class="stack">
      <div>
        <p class="small">
          <a href={hrefOf({ page: 'models' })}>{say('model.back')}</a>
        </p>
        <div class="row spread">
          <h1>{model}</h1>
          {entry && (
            <span class="small">
              <StateMark state={entry.state} />
            </span>
          )}
        </div>
      </div>
      <nav class="tabs" aria-label={say('model.tabs')}>
        {modelTabs.map((name) => (
          <a key={name} href={hrefOf({ page: 'model', model, tab: name })} aria-current={name === tab ? 'page' : undefined}>
            {say(`model.${name}`)}
          </a>
        ))}
      </nav>
      {tab === 'signature' ? (
        <Signature model={model} ready={isReady} />
      ) : error !== undefined ? (
        <Notice error={error} onRetry={again} />
      ) : graphs ? (
        <Tab tab={tab} model={model} graphs={graphs} />
      ) : (
        <div class="card empty">{say('common.loading')}</div>
      )}
    </div>
  );
}

function Tab({ tab, model, graphs }: { readonly tab: ModelTab; readonly model: string; readonly graphs: readonly GraphFile[] }): JSX.Element {
  return tab === 'variants' ? <Variants model={model} graphs={graphs} /> : <GraphTable model={model} graphs={graphs} />;
}
