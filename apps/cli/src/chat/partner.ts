/** Who answers in a conversation: a model in this process, or one behind a server. */

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface Reply {
  readonly text: string;
  /** 'length': it was cut at the most tokens that it may have. */
  readonly finish: 'end' | 'length';
}

export interface Partner extends AsyncDisposable {
  /** Throws `E_CONTEXT` for a conversation that is too long for the model, and the reason of the signal. */
  reply(messages: readonly Message[], options: { readonly signal: AbortSignal; readonly onText: (text: string) => void }): Promise<Reply>;
}
