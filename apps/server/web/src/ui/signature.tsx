/** What a model takes and gives, by the Open Inference Protocol. */
import type { JSX } from 'preact';
import { readSignature } from '../api/infer.js';
import type { TensorSpec } from '../tensors/parse-values.js';
import { sayShape } from '../tensors/tensor-data.js';
import { say } from '../text/text.js';
import { useRead } from '../views/use-read.js';
import { Notice } from './notice.js';

export function Signature({ model, ready }: { readonly model: string; readonly ready: boolean }): JSX.Element {
  const { value, error, again } = useRead((signal) => readSignature(model, signal), [model, ready]);
  if (!ready) return <div class="card empty">{say('model.signature.unloaded')}</div>;
  if (error !== undefined) return <Notice error={error} onRetry={again} />;
  if (!value) return <div class="card empty">{say('common.loading')}</div>;
  return (
    <>
      <p class="facts">
        <span>
          {say('model.platform')} <code>{value.platform}</code>
        </span>
        {value.versions && value.versions.length > 0 && (
          <span>
            {say('model.versions')} {value.versions.join(', ')}
          </span>
        )}
      </p>
      <Specs title={say('model.inputs')} specs={value.inputs} />
      <Specs title={say('model.outputs')} specs={value.outputs} />
    </>
  );
}

function Specs({ title, specs }: { readonly title: string; readonly specs: readonly TensorSpec[] }): JSX.Element {
  return (
    <section class="card scroll" aria-label={title} tabIndex={0}>
      <table class="specs">
        <thead>
          <tr>
            <th scope="col">{title}</th>
            <th scope="col">{say('model.dtype')}</th>
            <th scope="col">{say('model.shape')}</th>
          </tr>
        </thead>
        <tbody>
          {specs.map(({ name, datatype, shape }) => (
            <tr key={name}>
              <th scope="row" class="mono">
                {name}
              </th>
              <td class="mono">{datatype}</td>
              <td class="mono">{sayShape(shape)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
