/** The playground: one tab for each kind of question a model can be asked. */
import type { JSX } from 'preact';
import { hrefOf, type Playground, playgrounds } from '../router.js';
import { say } from '../text/text.js';
import { ChatView } from './chat-view.js';
import { CompleteView } from './complete-view.js';
import { EmbedView } from './embed-view.js';
import { TensorsView } from './tensors-view.js';

const views = { chat: ChatView, complete: CompleteView, embed: EmbedView, tensors: TensorsView };

export function PlayView({ playground }: { readonly playground: Playground }): JSX.Element {
  const View = views[playground];
  return (
    <>
      <h1 class="hidden-visually">{say('play.title')}</h1>
      <nav class="tabs" aria-label={say('play.title')}>
        {playgrounds.map((name) => (
          <a key={name} href={hrefOf({ page: 'play', playground: name })} aria-current={name === playground ? 'page' : undefined}>
            {say(`play.${name}`)}
          </a>
        ))}
      </nav>
      <View />
    </>
  );
}
