/** A conversation with a model that has a chat template. */
import type { JSX, TargetedEvent, TargetedKeyboardEvent } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { answerAgain, answering, chatError, clearChat, draft, sendMessage, stopAnswer, type Turn, turns } from '../state/chat.js';
import { modelFor } from '../state/models.js';
import { schema } from '../state/parameters.js';
import { say } from '../text/text.js';
import { CopyButton } from '../ui/copy-button.js';
import { GenerationFacts } from '../ui/generation-facts.js';
import { Icon } from '../ui/icons.js';
import { ModelPicker, NoModel } from '../ui/model-picker.js';
import { Notice } from '../ui/notice.js';
import { ParameterPanel } from '../ui/parameters.js';

export function ChatView(): JSX.Element {
  const model = modelFor('chat');
  const busy = answering.value !== undefined;
  return (
    <div class="split">
      <ParameterPanel chat>
        <ModelPicker playground="chat" />
      </ParameterPanel>
      <section class="card talk" aria-label={say('chat.log')}>
        {model === undefined && turns.value.length === 0 ? <NoModel playground="chat" /> : <Log model={model} busy={busy} />}
        <Composer model={model} busy={busy} />
      </section>
    </div>
  );
}

/** Read out when an answer is whole: `aria-busy` holds a reader back while words still come. */
function Log({ model, busy }: { readonly model: string | undefined; readonly busy: boolean }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const list = turns.value;
  useEffect(() => {
    const { current } = box;
    if (current && atEnd.current) current.scrollTop = current.scrollHeight;
    // What stands below a whole answer is in sight, too.
  }, [list, busy]);
  const follow = ({ currentTarget: { scrollTop, scrollHeight, clientHeight } }: TargetedEvent<HTMLDivElement>): void => {
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  return (
    <div class="log" ref={box} role="log" aria-live="polite" aria-busy={busy} aria-label={say('chat.log')} tabIndex={0} onScroll={follow}>
      {list.length === 0 && (
        <div class="empty">
          <strong>{say('chat.empty')}</strong>
          <span>{say('chat.empty.detail')}</span>
        </div>
      )}
      {list.map((turn, i) => (
        <Said key={turn.id} turn={turn} writing={busy && i === list.length - 1} />
      ))}
      {chatError.value !== undefined && <Notice error={chatError.value} />}
      {!busy && model !== undefined && list.length > 0 && (
        <div class="row after">
          <button type="button" class="button quiet small" onClick={() => answerAgain(model)}>
            <Icon name="again" />
            {say('chat.again')}
          </button>
          {list.at(-1)?.role === 'assistant' && <CopyButton text={list.at(-1)!.content} />}
          <button type="button" class="button quiet small" onClick={clearChat}>
            <Icon name="close" />
            {say('common.clear')}
          </button>
        </div>
      )}
    </div>
  );
}

function Said({ turn: { role, content, stats, stopped }, writing }: { readonly turn: Turn; readonly writing: boolean }): JSX.Element {
  return (
    <article class={`turn ${role}`}>
      <h2 class="hidden-visually">{say(role === 'user' ? 'chat.you' : 'chat.model')}</h2>
      <div class="said">
        {content}
        {writing && <span class="cursor" aria-hidden="true" />}
      </div>
      {role === 'assistant' && <GenerationFacts stats={stats} stopped={stopped === true} />}
    </article>
  );
}

function Composer({ model, busy }: { readonly model: string | undefined; readonly busy: boolean }): JSX.Element {
  const canSend = model !== undefined && draft.value.trim() !== '' && schema.value !== 'invalid';
  const send = (): void => {
    if (canSend && !busy) sendMessage(model);
  };
  const keyDown = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    // While an input method composes a word, Enter belongs to it.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        rows={Math.min(8, Math.max(2, draft.value.split('\n').length))}
        aria-label={say('chat.input')}
        placeholder={say('chat.placeholder')}
        value={draft.value}
        onInput={({ currentTarget }) => (draft.value = currentTarget.value)}
        onKeyDown={keyDown}
      />
      <div class="row spread">
        <span class="soft tiny keys">{say('chat.keys')}</span>
        {busy ? (
          <button type="button" class="button" onClick={stopAnswer}>
            <Icon name="stop" />
            {say('common.stop')}
          </button>
        ) : (
          <button type="submit" class="button primary" disabled={!canSend}>
            <Icon name="send" />
            {say('chat.send')}
          </button>
        )}
      </div>
    </form>
  );
}
