/** What a run gave: each tensor with its figures, its first values, and its largest ones when it looks like scores. */
import type { JSX } from 'preact';
import type { InferResult, NamedTensor } from '../api/infer.js';
import { writeNpy } from '../tensors/npy.js';
import { countOf, elementsOf, sayShape, statsOf } from '../tensors/tensor-data.js';
import { say, sayNumber } from '../text/text.js';
import { Icon } from './icons.js';
import { saveFile } from './save-file.js';

const FIRST = 60;
const TOP = 5;
// Scores of classes: more than a few, and not a whole feature map.
const SCORES = { min: 2, max: 100_000 };

export function TensorOutputs({ result: { outputs, ms, timings } }: { readonly result: InferResult }): JSX.Element {
  return (
    <>
      <p class="facts">
        <span>{say('tensor.time', { ms: sayNumber(ms) })}</span>
        {timings.map(([name, duration]) => (
          <span key={name}>
            {name} {sayNumber(duration)} ms
          </span>
        ))}
      </p>
      {outputs.map((tensor) => (
        <Output key={tensor.name} tensor={tensor} />
      ))}
    </>
  );
}

function Output({ tensor }: { readonly tensor: NamedTensor }): JSX.Element {
  const { name, datatype, shape } = tensor;
  const stats = statsOf(tensor);
  const count = countOf(shape);
  const shown = elementsOf(tensor, FIRST).map((value) => (typeof value === 'number' && !Number.isInteger(value) ? sayNumber(value, 5) : String(value)));
  const file = writeNpy(tensor);
  return (
    <section class="tensor" aria-label={name}>
      <div class="tensor-name">
        <h3>{name}</h3>
        <span class="soft small mono">
          {datatype} {sayShape(shape)}
        </span>
      </div>
      {stats && (
        <dl class="stats">
          <div>
            <dt>{say('tensor.min')}</dt>
            <dd>{sayNumber(stats.min, 4)}</dd>
          </div>
          <div>
            <dt>{say('tensor.max')}</dt>
            <dd>{sayNumber(stats.max, 4)}</dd>
          </div>
          <div>
            <dt>{say('tensor.mean')}</dt>
            <dd>{sayNumber(stats.mean, 4)}</dd>
          </div>
          {stats.notFinite > 0 && <div>{say('tensor.nan', { n: stats.notFinite })}</div>}
        </dl>
      )}
      {isScores(tensor, count) && <Largest tensor={tensor} count={count} />}
      <div class="field">
        <span class="label">
          <span>{say('tensor.first')}</span>
        </span>
        <pre class="values" tabIndex={0} aria-label={`${name}: ${say('tensor.first')}`}>
          {shown.join('  ')}
          {count > FIRST ? ' …' : ''}
        </pre>
      </div>
      {file && (
        <div class="row">
          <button type="button" class="button quiet small" onClick={() => saveFile(`${name.replace(/[^\w.-]+/g, '_')}.npy`, file)}>
            <Icon name="save" />
            {say('tensor.download')}
          </button>
        </div>
      )}
    </section>
  );
}

/** One row of floating-point numbers. */
function isScores({ datatype, shape }: NamedTensor, count: number): boolean {
  const last = shape.at(-1) ?? 0;
  return /^(FP|BF)/.test(datatype) && last === count && count > SCORES.min && count <= SCORES.max && shape.length <= 2;
}

function Largest({ tensor, count }: { readonly tensor: NamedTensor; readonly count: number }): JSX.Element {
  const values = elementsOf(tensor, count).map(Number);
  const top = values
    .map((value, index) => ({ value, index }))
    .filter(({ value }) => Number.isFinite(value))
    .sort((a, b) => b.value - a.value)
    .slice(0, TOP);
  const [best, worst] = [top[0]?.value ?? 0, Math.min(0, top.at(-1)?.value ?? 0)];
  return (
    <div class="field">
      <span class="label">
        <span>{say('tensor.top')}</span>
      </span>
      <div class="bars" role="table" aria-label={say('tensor.top')}>
        {top.map(({ value, index }) => (
          <div key={index} class="bars-row" role="row">
            <span class="mono" role="rowheader">
              {index}
            </span>
            <span role="presentation">
              <span class="bar" style={{ '--part': String(best > worst ? (value - worst) / (best - worst) : 1) }} />
            </span>
            <span class="mono number" role="cell">
              {sayNumber(value, 4)}
            </span>
          </div>
        ))}
      </div>
    </div>
  );
}
