/** The page starts here. */
import { render } from 'preact';
import { App } from './app.js';
import { startRouter } from './router.js';
import { startModels } from './state/models.js';
import { startSettings } from './state/settings.js';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/frame.css';
import './styles/play.css';
import './styles/models.css';
import './styles/monitor.css';

startSettings();
startRouter();
startModels();
render(<App />, document.getElementById('page')!);
