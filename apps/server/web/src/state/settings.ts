/** What the reader chose: language and theme are remembered, the API key never leaves memory. */
import { effect, signal } from '@preact/signals';

export const languages = ['en', 'zh'] as const;
export type Language = (typeof languages)[number];
export const themes = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

export const language = signal<Language>('en');
export const theme = signal<Theme>('auto');
/** Sent as `Authorization: Bearer`; gone with the tab. */
export const apiKey = signal('');

/** Reads what was chosen last time, and keeps the document in step with what is chosen now. */
export function startSettings(): void {
  const preferred = navigator.languages.some((tag) => tag.toLowerCase().startsWith('zh')) ? 'zh' : 'en';
  language.value = languages.find((name) => name === recall('language')) ?? preferred;
  theme.value = themes.find((name) => name === recall('theme')) ?? 'auto';
  effect(() => {
    document.documentElement.lang = language.value === 'zh' ? 'zh-Hans' : 'en';
    remember('language', language.value);
  });
  effect(() => {
    const { dataset } = document.documentElement;
    if (theme.value === 'auto') delete dataset['theme'];
    else dataset['theme'] = theme.value;
    remember('theme', theme.value);
  });
}

// Storage may be switched off; the page then starts from its defaults.
function recall(name: string): string | null {
  try {
    return localStorage.getItem(`penjing.${name}`);
  } catch {
    return null;
  }
}

function remember(name: string, value: string): void {
  try {
    localStorage.setItem(`penjing.${name}`, value);
  } catch {
    return;
  }
}
