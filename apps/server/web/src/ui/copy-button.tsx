/** Puts a text on the clipboard and says so. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { say } from '../text/text.js';
import { Icon } from './icons.js';

export function CopyButton({ text }: { readonly text: string }): JSX.Element {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  // Without a secure context there is no clipboard; the text can still be selected.
  const copy = (): void => void navigator.clipboard?.writeText(text).then(() => setCopied(true), () => undefined);
  return (
    <button type="button" class="button quiet small" onClick={copy}>
      <Icon name="copy" />
      <span aria-live="polite">{say(copied ? 'common.copied' : 'common.copy')}</span>
    </button>
  );
}
