/** Where the reader is, as the part of the address behind `#`: it works under any path and needs no server. */
import { signal } from '@preact/signals';

export const playgrounds = ['chat', 'complete', 'embed', 'tensors'] as const;
export type Playground = (typeof playgrounds)[number];
export const modelTabs = ['graph', 'variants', 'signature'] as const;
export type ModelTab = (typeof modelTabs)[number];

export type Route =
  | { readonly page: 'play'; readonly playground: Playground }
  | { readonly page: 'models' }
  | { readonly page: 'model'; readonly model: string; readonly tab: ModelTab }
  | { readonly page: 'monitor' };

/** What is not understood leads to the first page. */
export function parseRoute(hash: string): Route {
  const [first = '', ...rest] = hash.replace(/^#\/?/, '').split('/').map(decode);
  if (first === 'monitor') return { page: 'monitor' };
  if (first === 'models') {
    const [model, tab] = rest;
    return model ? { page: 'model', model, tab: modelTabs.find((name) => name === tab) ?? 'graph' } : { page: 'models' };
  }
  return { page: 'play', playground: playgrounds.find((name) => name === first) ?? 'chat' };
}

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'play':
      return `#/${route.playground}`;
    case 'model':
      return `#/models/${encodeURIComponent(route.model)}/${route.tab}`;
    default:
      return `#/${route.page}`;
  }
}

export const route = signal<Route>(parseRoute(''));

/** Follows the address bar from now on. */
export function startRouter(): void {
  const follow = (): void => {
    route.value = parseRoute(location.hash);
  };
  follow();
  addEventListener('hashchange', follow);
}

export function goTo(next: Route): void {
  location.hash = hrefOf(next);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}
