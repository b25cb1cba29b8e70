/** Something read from the server while a view shows it. */
import { useEffect, useState } from 'preact/hooks';

export interface Read<T> {
  readonly value?: T;
  readonly error?: unknown;
}

/** Reads something again whenever one of the keys changes; an answer that comes too late is dropped. */
export function useRead<T>(read: (signal: AbortSignal) => Promise<T>, keys: readonly unknown[]): Read<T> & { readonly again: () => void } {
  const [state, setState] = useState<Read<T>>({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setState({});
    read(abort.signal).then(
      (value) => !abort.signal.aborted && setState({ value }),
      (error: unknown) => !abort.signal.aborted && setState({ error }),
    );
    return () => abort.abort();
  }, [...keys, round]);
  return { ...state, again: () => setRound(round + 1) };
}
