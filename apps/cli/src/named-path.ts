/** Models of the command line that may be given a name. */

export interface NamedPath {
  readonly name?: string;
  readonly path: string;
}

/** `name=path`, or a path. */
export function namedPath(text: string): NamedPath {
  const match = /^([A-Za-z0-9._-]{1,128})=(.+)$/.exec(text);
  return match ? { name: match[1]!, path: match[2]! } : { path: text };
}
