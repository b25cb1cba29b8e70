/** Pulls jobs: asks for as many as are wanted, and asks again after the server was away. */
import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { createInbox } from '@nats-io/nats-core';

/** How long the server keeps a question. */
const EXPIRES_MS = 20_000;
/** A question that was neither answered nor ended by then was lost on the way. */
const LOST_MS = EXPIRES_MS + 2_000;

interface Question {
  left: number;
  readonly asked: number;
  /** Of its own: jobs arrive under the subject they were published on, which does not tell who asked. */
  readonly subscription: Subscription;
}

export class Pull {
  readonly #connection: NatsConnection;
  readonly #subject: string;
  readonly #onJob: (message: Msg) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #questions = new Set<Question>();
  #wanted = 0;
  #closed = false;

  constructor(connection: NatsConnection, stream: string, consumer: string, onJob: (message: Msg) => void) {
    this.#connection = connection;
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.#onJob = onJob;
    this.#timer = setInterval(() => this.#ask(), 500);
    this.#timer.unref();
    void this.#watch();
  }

  /** As many as this may still come. */
  want(count: number): void {
    this.#wanted = count;
    this.#ask();
  }

  /** Ends the questions: the server gives this peer nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#drop();
    if (!this.#connection.isClosed()) await Promise.race([this.#connection.flush().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  }

  #ask(): void {
    const now = performance.now();
    let coming = 0;
    for (const question of this.#questions) {
      if (now - question.asked > LOST_MS) this.#end(question);
      else coming += question.left;
    }
    const batch = this.#wanted - coming;
    if (batch <= 0 || this.#closed || this.#connection.isClosed()) return;
    const reply = createInbox();
    const question: Question = { left: batch, asked: now, subscription: this.#connection.subscribe(reply, { callback: (error, message) => void (error ?? this.#hear(question, message)) }) };
    this.#questions.add(question);
    this.#connection.publish(this.#subject, JSON.stringify({ batch, expires: EXPIRES_MS * 1e6 }), { reply });
  }

  #hear(question: Question, message: Msg): void {
    // A status ends the question. The timer asks again, so that a server in trouble is not asked in a circle.
    if (message.headers !== undefined && message.headers.code >= 400 && message.data.length === 0) return this.#end(question);
    if (--question.left <= 0) this.#end(question);
    this.#wanted = Math.max(0, this.#wanted - 1);
    this.#onJob(message);
  }

  #end(question: Question): void {
    if (this.#questions.delete(question)) question.subscription.unsubscribe();
  }

  #drop(): void {
    for (const question of [...this.#questions]) this.#end(question);
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (this.#closed) return;
      // Questions die with the connection, and the server may be another one.
      if (type === 'disconnect' || type === 'reconnect') this.#drop();
      if (type === 'reconnect') this.#ask();
    }
  }
}
