/** Which version this is. */
import packageJson from '../package.json' with { type: 'json' };

/** That of this package, which is also the version of the npm package `penjing` in images. */
export const { version } = packageJson;
