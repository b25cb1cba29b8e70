/** The variants of a model: how large, how made, what they lose, and the report of their comparison. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { GraphFile } from '../api/graph.js';
import { readReport } from '../api/models.js';
import { showReport } from '../report.js';
import { say, sayBytes } from '../text/text.js';
import { useRead } from '../views/use-read.js';
import { Icon } from './icons.js';
import { Notice } from './notice.js';
import { saveFile } from './save-file.js';

/** Writes a report where the server looks for it. */
const COMMAND = 'penjing compare MODEL MODEL --variant q4 --report MODEL/reports/q4.html';

export function Variants({ model, graphs }: { readonly model: string; readonly graphs: readonly GraphFile[] }): JSX.Element {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const shown = chosen ?? graphs.find(({ report }) => report)?.variant;
  const hasLoss = graphs.some(({ gate }) => gate !== undefined);
  const largest = Math.max(...graphs.map(({ bytes }) => bytes), 1);
  return (
    <>
      <div class="card scroll">
        <table class="variants">
          <thead>
            <tr>
              <th scope="col">{say('variants.name')}</th>
              <th scope="col" class="number">
                {say('variants.size')}
              </th>
              <th scope="col">{say('variants.steps')}</th>
              {hasLoss && <th scope="col">{say('variants.loss')}</th>}
              <th scope="col">{say('variants.report')}</th>
            </tr>
          </thead>
          <tbody>
            {graphs.map(({ name, variant, bytes, steps, gate, report, serving }) => (
              <tr key={name}>
                <th scope="row" title={name}>
                  {variant} {serving && <span class="chip marked">{say('variants.serving')}</span>}
                </th>
                <td class="number">
                  {sayBytes(bytes)}
                  <span class="size-bar" style={{ '--part': String(bytes / largest) }} aria-hidden="true" />
                </td>
                <td class="soft">{steps.join('; ')}</td>
                {hasLoss && <td>{gate}</td>}
                <td>
                  {report ? (
                    <button type="button" class="button small" aria-label={say('variants.show', { name: variant })} aria-pressed={variant === shown} onClick={() => setChosen(variant)}>
                      {say('variants.report')}
                    </button>
                  ) : (
                    <span class="soft">–</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown === undefined ? (
        <div class="empty small">
          <span>{say(graphs.length > 1 ? 'variants.noReport' : 'variants.empty')}</span>
          <code>{COMMAND}</code>
        </div>
      ) : (
        <Report key={shown} model={model} variant={shown} />
      )}
    </>
  );
}

/** The report in the page's own colours, but for those of its plots. */
const STYLE = ':host{display:block;color:var(--ink);background:none!important;--ink:inherit!important;--soft:inherit!important;--line:inherit!important;--paper:var(--under)!important;--card:var(--sunken)!important} *{box-sizing:border-box} h1{font-size:1.1rem!important} figure,.lead,dl{max-width:820px}';

function Report({ model, variant }: { readonly model: string; readonly variant: string }): JSX.Element {
  const { value, error, again } = useRead((signal) => readReport(model, variant, signal), [model, variant]);
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { current } = host;
    if (current && value !== undefined) showReport(current.shadowRoot ?? current.attachShadow({ mode: 'open' }), value, STYLE);
  }, [value]);
  if (error !== undefined) return <Notice error={error} onRetry={again} />;
  return (
    <section class="card padded report" aria-label={`${say('variants.report')} ${variant}`} aria-busy={value === undefined}>
      <div class="row end">
        <button type="button" class="button quiet small" disabled={value === undefined} onClick={() => saveFile(`${model}-${variant}.html`, new TextEncoder().encode(value), 'text/html')}>
          <Icon name="save" />
          {say('variants.save')}
        </button>
      </div>
      <div ref={host} />
    </section>
  );
}
