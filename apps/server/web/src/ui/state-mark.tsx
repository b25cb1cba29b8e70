/** The state of a model as a mark and a word. */
import type { JSX } from 'preact';
import type { ModelState } from '../api/models.js';
import { say } from '../text/text.js';

const marks: Readonly<Record<ModelState, string>> = { READY: 'ready', LOADING: 'busy', UNLOADING: 'busy', UNAVAILABLE: '' };

export function StateMark({ state }: { readonly state: ModelState }): JSX.Element {
  return <span class={`state ${marks[state]}`}>{say(`state.${state}`)}</span>;
}
