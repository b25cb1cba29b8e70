/** A place to drop a file on, with a button for those who cannot drag. */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { say } from '../text/text.js';

interface DropZoneProps {
  /** Says what the button chooses a file for. */
  readonly label: string;
  /** Shown in place of the invitation. */
  readonly chosen: string | undefined;
  readonly picture: File | undefined;
  readonly onFile: (file: File) => void;
  readonly onClear: () => void;
}

export function DropZone({ label, chosen, picture, onFile, onClear }: DropZoneProps): JSX.Element {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const preview = usePicture(picture);
  return (
    <div
      class={`drop ${over ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const file = event.dataTransfer?.files[0];
        if (file) onFile(file);
      }}
    >
      {preview !== undefined && <img src={preview} alt="" />}
      <span class="grow">{chosen ?? say('tensor.drop')}</span>
      {chosen !== undefined && (
        <button type="button" class="button quiet small" onClick={onClear}>
          {say('common.remove')}
        </button>
      )}
      <button type="button" class="button small" aria-label={`${label}: ${say('tensor.choose')}`} onClick={() => input.current?.click()}>
        {say('tensor.choose')}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        aria-label={label}
        accept="image/*,.npy,.json,.txt,text/*"
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          if (file) onFile(file);
          // The same file can be chosen again after a mistake.
          currentTarget.value = '';
        }}
      />
    </div>
  );
}

function usePicture(file: File | undefined): string | undefined {
  const [url, setUrl] = useState<string | undefined>(undefined);
  useEffect(() => {
    if (!file) return setUrl(undefined);
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url;
}
