/** A graph as a table that opens and closes like a tree. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { type DescribedGraph, type GraphFile, type GraphOperator, readGraph } from '../api/graph.js';
import { buildTree, type Part, partKeys, type Row, rowsOf, worstOf } from '../graph-tree.js';
import { sayShape } from '../tensors/tensor-data.js';
import { say, sayBytes, sayNumber } from '../text/text.js';
import { useRead } from '../views/use-read.js';
import { Field } from './fields.js';
import { Icon } from './icons.js';
import { Notice } from './notice.js';

/** Rows that are drawn before a button asks for more: a table of 20,000 rows would hold up a phone. */
const STEP = 300;

export function GraphTable({ model, graphs }: { readonly model: string; readonly graphs: readonly GraphFile[] }): JSX.Element {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const name = chosen ?? graphs.find(({ serving }) => serving)?.name ?? graphs[0]?.name;
  const { value, error, again } = useRead((signal) => readGraph(model, name, signal), [model, name]);
  return (
    <div class="stack">
      {graphs.length > 1 && (
        <div class="graph-file">
          <Field label={say('graph.file')}>
            {(ids) => (
              <select {...ids} value={name} onChange={({ currentTarget }) => setChosen(currentTarget.value)}>
                {graphs.map((graph) => (
                  <option key={graph.name} value={graph.name}>
                    {`${graph.name} · ${sayBytes(graph.bytes)}`}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </div>
      )}
      {error !== undefined ? <Notice error={error} onRetry={again} /> : value ? <Tree key={value.name} graph={value} /> : <div class="card empty">{say('common.loading')}</div>}
    </div>
  );
}

function Tree({ graph }: { readonly graph: DescribedGraph }): JSX.Element {
  const tree = useMemo(() => buildTree(graph.operators), [graph]);
  const [open, setOpen] = useState<ReadonlySet<string>>(() => new Set(tree.parts.length === 1 ? [tree.parts[0]!.key] : []));
  const [search, setSearch] = useState('');
  const [limit, setLimit] = useState(STEP);
  const rows = rowsOf(tree, open, search);
  const found = search.trim() === '' ? undefined : rows.filter(({ kind }) => kind === 'operator').length;
  const { operators, weights, bytes } = graph.totals;
  const toggle = (key: string): void => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
  };
  return (
    <>
      <p class="facts">
        <span>{say('graph.nodes', { n: operators.toLocaleString('en') })}</span>
        <span>{say('graph.weights', { n: weights.toLocaleString('en') })}</span>
        <span>{say('graph.bytes', { n: sayBytes(bytes) })}</span>
        {graph.records > 0 && <span>{say('graph.records', { n: graph.records })}</span>}
      </p>
      {graph.cut && <p class="soft small">{say('graph.cut', { n: graph.operators.length.toLocaleString('en') })}</p>}
      <div class="row">
        <label class="search grow">
          <span class="hidden-visually">{say('graph.search')}</span>
          <Icon name="search" />
          <input
            type="search"
            placeholder={say('graph.search')}
            value={search}
            onInput={({ currentTarget }) => {
              setSearch(currentTarget.value);
              setLimit(STEP);
            }}
          />
        </label>
        <button type="button" class="button" onClick={() => setOpen(new Set(partKeys(tree)))}>
          {say('graph.open')}
        </button>
        <button type="button" class="button" onClick={() => setOpen(new Set())}>
          {say('graph.shut')}
        </button>
      </div>
      <p class="hidden-visually" role="status">
        {found !== undefined && say('graph.matches', { n: found })}
      </p>
      <div class="card scroll" tabIndex={0} role="region" aria-label={graph.name}>
        <table class="graph">
          <thead>
            <tr>
              <th scope="col">{say('graph.name')}</th>
              <th scope="col" class="number">
                {say('graph.size')}
              </th>
              <th scope="col" class="number" title={say('graph.error.help')}>
                {say('graph.error')}
              </th>
              <th scope="col">{say('graph.type')}</th>
              <th scope="col">{say('graph.shape')}</th>
              <th scope="col">{say('graph.operator')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, limit).map((row) => (
              <TreeRow key={row.key} row={row} onToggle={toggle} />
            ))}
          </tbody>
        </table>
        {rows.length === 0 && <p class="empty">{say('graph.empty')}</p>}
      </div>
      {rows.length > limit && (
        <button type="button" class="button" onClick={() => setLimit(limit + STEP)}>
          {say('graph.more', { n: Math.min(STEP, rows.length - limit) })}
        </button>
      )}
    </>
  );
}

function TreeRow({ row, onToggle }: { readonly row: Row; readonly onToggle: (key: string) => void }): JSX.Element {
  return row.kind === 'part' ? <PartRow {...row} onToggle={onToggle} /> : <OperatorRows operator={row.operator} depth={row.depth} />;
}

function PartRow({ part, depth, open, onToggle }: { readonly part: Part; readonly depth: number; readonly open: boolean; readonly onToggle: (key: string) => void }): JSX.Element {
  return (
    <tr class="part">
      <th scope="row" style={{ '--depth': String(depth) }}>
        <button type="button" class={`fold ${open ? 'open' : ''}`} aria-expanded={open} aria-label={say(open ? 'graph.collapse' : 'graph.expand', { name: part.name })} onClick={() => onToggle(part.key)}>
          <Icon name="open" />
          <span>{part.name}</span>
        </button>
      </th>
      <td class="number">{part.bytes > 0 && sayBytes(part.bytes)}</td>
      <td class="number">{sayLevel(part.worst)}</td>
      <td />
      <td />
      <td class="soft">{part.count === 1 ? say('graph.node') : say('graph.nodes', { n: part.count })}</td>
    </tr>
  );
}

/** An operator, and a row for each of its weights. */
function OperatorRows({ operator, depth }: { readonly operator: GraphOperator; readonly depth: number }): JSX.Element {
  const { name, weights, dtype, shape } = operator;
  const short = name.split('/').at(-1) ?? name;
  return (
    <>
      <tr>
        <th scope="row" style={{ '--depth': String(depth) }} title={name}>
          <span class="leaf">{short}</span>
        </th>
        <td />
        <td class="number">{weights.length === 0 && sayLevel(worstOf(operator))}</td>
        <td class="mono soft">{dtype}</td>
        <td class="mono soft">{shape && `[${shape.map((size) => size ?? '?').join(', ')}]`}</td>
        <td class="mono">{operator.operator}</td>
      </tr>
      {weights.map((weight) => (
        <tr key={weight.name} class="weight">
          <th scope="row" style={{ '--depth': String(depth + 1) }}>
            <span class="leaf mono">{weight.name}</span>
          </th>
          <td class="number">{sayBytes(weight.bytes)}</td>
          <td class="number">{sayLevel(weight.snrDb === null ? Infinity : weight.snrDb)}</td>
          <td class="mono">{weight.dtype}</td>
          <td class="mono">{sayShape(weight.shape)}</td>
          <td class="soft">{weight.method}</td>
        </tr>
      ))}
    </>
  );
}

/** 40 dB is a hundredth of the weight, 20 dB a tenth: what lost much is marked. */
function sayLevel(db: number | undefined): JSX.Element | string {
  if (db === undefined) return '';
  if (db === Infinity) return say('graph.exact');
  return <span class={db < 15 ? 'loss' : ''}>{sayNumber(db)} dB</span>;
}
