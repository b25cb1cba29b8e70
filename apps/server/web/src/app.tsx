/** The frame of the page: head, sections, and the view that the address names. */
import { useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { hrefOf, route, type Route } from './router.js';
import { health } from './state/models.js';
import { say, type TextKey } from './text/text.js';
import { Icon, type IconName, Mark } from './ui/icons.js';
import { Settings } from './ui/settings.js';
import { ModelView } from './views/model-view.js';
import { ModelsView } from './views/models-view.js';
import { MonitorView } from './views/monitor-view.js';
import { PlayView } from './views/play-view.js';

interface Section {
  readonly route: Route;
  readonly words: TextKey;
  readonly icon: IconName;
  readonly pages: readonly Route['page'][];
}

const sections: readonly Section[] = [
  { route: { page: 'play', playground: 'chat' }, words: 'app.play', icon: 'chat', pages: ['play'] },
  { route: { page: 'models' }, words: 'app.models', icon: 'models', pages: ['models', 'model'] },
  { route: { page: 'monitor' }, words: 'app.monitor', icon: 'monitor', pages: ['monitor'] },
];

const states = { ready: ['ready', 'app.ready'], notReady: ['', 'app.notReady'], unreachable: ['bad', 'app.unreachable'], unknown: ['busy', 'common.loading'] } as const;

export function App(): JSX.Element {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const now = route.value;
  const section = sections.find(({ pages }) => pages.includes(now.page)) ?? sections[0]!;
  const [mark, words] = states[health.value];

  // Whoever follows a link hears where they are: the view is a new page, though the document stays.
  useSignalEffect(() => {
    const { page } = route.value;
    document.title = `${titleOf(route.value)} · Penjing`;
    if (first.current) first.current = false;
    else if (page !== 'play') queueMicrotask(() => main.current?.focus({ preventScroll: true }));
  });

  return (
    <>
      <button type="button" class="button primary skip" onClick={() => main.current?.focus()}>
        {say('app.skip')}
      </button>
      <header class="head">
        <a class="brand" href={hrefOf({ page: 'play', playground: 'chat' })}>
          <Mark />
          <span>Penjing</span>
        </a>
        <nav class="nav" aria-label={say('app.sections')}>
          {sections.map((one) => (
            <a key={one.words} href={hrefOf(one.route)} aria-current={one === section ? 'page' : undefined}>
              <Icon name={one.icon} />
              <span>{say(one.words)}</span>
            </a>
          ))}
        </nav>
        <span class="health" role="status">
          <span class={`state ${mark}`}>{say(words)}</span>
        </span>
        <Settings />
      </header>
      <main class="content" ref={main} tabIndex={-1}>
        <View route={now} />
      </main>
    </>
  );
}

function View({ route: now }: { readonly route: Route }): JSX.Element {
  switch (now.page) {
    case 'play':
      return <PlayView playground={now.playground} />;
    case 'models':
      return <ModelsView />;
    case 'model':
      return <ModelView key={now.model} model={now.model} tab={now.tab} />;
    case 'monitor':
      return <MonitorView />;
  }
}

function titleOf(now: Route): string {
  switch (now.page) {
    case 'play':
      return say(`play.${now.playground}`);
    case 'model':
      return now.model;
    case 'models':
      return say('models.title');
    case 'monitor':
      return say('monitor.title');
  }
}
