/** Language, colours and the API key, in a sheet under the head. */
import type { JSX, TargetedEvent } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { apiKey, language, theme, themes } from '../state/settings.js';
import { say } from '../text/text.js';
import { Choices, type ControlIds, Field } from './fields.js';
import { Icon } from './icons.js';

export function Settings(): JSX.Element {
  const [open, setOpen] = useState(false);
  const [shown, setShown] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();

  useEffect(() => {
    if (!open) return undefined;
    const leave = (event: Event): void => {
      if (!root.current?.contains(event.target as globalThis.Node)) setOpen(false);
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener('pointerdown', leave);
    document.addEventListener('focusin', leave);
    document.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', leave);
      document.removeEventListener('focusin', leave);
      document.removeEventListener('keydown', escape);
    };
  }, [open]);

  return (
    <div class="settings" ref={root}>
      <button type="button" class="button quiet icon" ref={button} aria-expanded={open} aria-controls={id} aria-label={say('app.settings')} title={say('app.settings')} onClick={() => setOpen(!open)}>
        <Icon name="settings" />
      </button>
      <div class="card sheet stack" id={id} hidden={!open} role="group" aria-label={say('app.settings')}>
        <Choices
          label={say('settings.language')}
          value={language.value}
          options={[
            ['en', 'English'],
            ['zh', '中文'],
          ]}
          onChange={(value) => (language.value = value)}
        />
        <Choices label={say('settings.theme')} value={theme.value} options={themes.map((name) => [name, say(`settings.theme.${name}`)])} onChange={(value) => (theme.value = value)} />
        <Field label={say('settings.key')} help={say('settings.key.help')}>
          {(ids) => (
            <div class="with-button">
              <KeyInput ids={ids} shown={shown} />
              <button type="button" class="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
                {say(shown ? 'settings.key.hide' : 'settings.key.show')}
              </button>
            </div>
          )}
        </Field>
      </div>
    </div>
  );
}

function KeyInput({ ids, shown }: { readonly ids: ControlIds; readonly shown: boolean }): JSX.Element {
  // Not on every letter: each key that is tried is a request.
  const take = ({ currentTarget }: TargetedEvent<HTMLInputElement>): void => {
    apiKey.value = currentTarget.value.trim();
  };
  const rest = { ...ids, autocomplete: 'off', spellcheck: false, value: apiKey.value, onChange: take } as const;
  return shown ? <input {...rest} type="text" /> : <input {...rest} type="password" />;
}
