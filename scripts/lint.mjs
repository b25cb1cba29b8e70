/** `npm run lint`: all of the sources, in processes of their own: TypeScript keeps the programs of every package that it has read, and all together take more than 4 GB. */
import { lint } from './tools.mjs';

process.exit(lint());
