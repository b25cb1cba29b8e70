/** Small drawings, one stroke width; what they mean is said in words beside them. */
import type { JSX } from 'preact';

const paths = {
  chat: 'M3 4.5h12v8H8l-3.5 3v-3H3z',
  models: 'M9 2.5 15.5 6 9 9.5 2.5 6zM2.5 9 9 12.5 15.5 9M2.5 12 9 15.5 15.5 12',
  monitor: 'M2.5 13.5 6.5 8l3 3 6-7.5',
  settings: 'M3 5h6m4 0h2M3 13h2m4 0h6M11 3v4M7 11v4',
  send: 'M9 15V3M4 8l5-5 5 5',
  stop: 'M5 5h8v8H5z',
  again: 'M14.5 9a5.5 5.5 0 1 1-1.7-4M13.5 2v3.5H10',
  copy: 'M6.5 6.5h8v8h-8zM11.5 6.5v-3h-8v8h3',
  close: 'M4.5 4.5l9 9M13.5 4.5l-9 9',
  plus: 'M9 3.5v11M3.5 9h11',
  save: 'M9 3v8M5.5 8 9 11.5 12.5 8M3.5 15h11',
  open: 'M6 3.5 11.5 9 6 14.5',
  search: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3zM11.7 11.7 15 15',
  pause: 'M6 4v10M12 4v10',
  play: 'M5.5 3.5v11l9-5.5z',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}

/** A small tree in a pot. */
export function Mark(): JSX.Element {
  return (
    <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M6 24h20l-3 5H9z" fill="#9a7654" />
      <path d="M16 24c0-5 1-7 4-10" fill="none" stroke="#8a6545" stroke-width="2.4" stroke-linecap="round" />
      <ellipse cx="20.5" cy="9" rx="8" ry="5" fill="#2f8a5f" />
      <ellipse cx="11" cy="14" rx="6" ry="3.8" fill="#439b70" />
    </svg>
  );
}
