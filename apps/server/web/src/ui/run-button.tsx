/** The button that starts a run by submitting its form, and ends it while it lasts. */
import type { JSX } from 'preact';
import type { Run } from '../state/run.js';
import { say } from '../text/text.js';
import { Icon } from './icons.js';

interface RunButtonProps {
  readonly run: Pick<Run<unknown>, 'busy' | 'stop'>;
  readonly words: string;
  readonly disabled: boolean;
}

export function RunButton({ run, words, disabled }: RunButtonProps): JSX.Element {
  return run.busy.value ? (
    <button type="button" class="button" onClick={run.stop}>
      <Icon name="stop" />
      {say('common.stop')}
    </button>
  ) : (
    <button type="submit" class="button primary" disabled={disabled}>
      {words}
    </button>
  );
}
