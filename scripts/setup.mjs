/** Installs and builds the workspace. */
import { build, install } from './tools.mjs';

install();
build();
