import { describeError } from '../errors/describe-error.ts';
import type { Secrets } from '../ui/secrets.ts';

/** What a check came to; `accion` is empty where there is nothing to do. */
export interface Outcome {
  nombre: string;
  /** `aviso`: works, and yet somebody should look at it. */
  estado: 'bien' | 'aviso' | 'falla';
  mensaje: string;
  accion: string;
}

/** What a check found when it did not fail: a sentence, and with `advice` what should be done about it. */
export interface Finding<T> {
  value: T;
  note: string;
  advice?: string;
}

/** Runs checks one after the other: one that fails is an outcome, and the next one runs. */
export class Checklist {
  readonly outcomes: Outcome[] = [];
  readonly #secrets: Secrets;
  readonly #signal: AbortSignal;
  readonly #onOutcome: (outcome: Outcome) => void;

  constructor(options: { secrets: Secrets; signal: AbortSignal; onOutcome: (outcome: Outcome) => void }) {
    this.#secrets = options.secrets;
    this.#signal = options.signal;
    this.#onOutcome = options.onOutcome;
  }

  /** What `work` found, or undefined when it failed. Throws the signal's reason. */
  async check<T>(nombre: string, work: () => Promise<Finding<T>>): Promise<T | undefined> {
    this.#signal.throwIfAborted();
    try {
      const { value, note, advice } = await work();
      this.#add(nombre, advice === undefined ? 'bien' : 'aviso', note, advice ?? '');
      return value;
    } catch (error) {
      this.#signal.throwIfAborted();
      return this.#fail(nombre, error);
    }
  }

  /** What `work` made; where it cannot, undefined, and that is an outcome. */
  attempt<T>(nombre: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      return this.#fail(nombre, error);
    }
  }

  count(estado: Outcome['estado']): number {
    return this.outcomes.filter((outcome) => outcome.estado === estado).length;
  }

  #fail(nombre: string, error: unknown): undefined {
    const { message, action } = describeError(error);
    this.#add(nombre, 'falla', message, action);
    return undefined;
  }

  #add(nombre: string, estado: Outcome['estado'], mensaje: string, accion: string): void {
    const [scrubbed, what] = [mensaje, accion].map((text) => this.#secrets.scrub(text)) as [string, string];
    const outcome = { nombre, estado, mensaje: scrubbed, accion: what };
    this.outcomes.push(outcome);
    this.#onOutcome(outcome);
  }
}

const SIGNS = { bien: '✔', aviso: '⚠', falla: '✖' } as const;

/** Returns `✖ SQL Server: qué pasa`, and on a line of its own what to do. What has lines itself is set in further. */
export function describeOutcome({ nombre, estado, mensaje, accion }: Outcome): string {
  const setIn = (text: string) => text.replaceAll('\n', '\n    ');
  return `${SIGNS[estado]} ${nombre}: ${setIn(mensaje)}${accion === '' ? '' : `\n  → ${setIn(accion)}`}`;
}
