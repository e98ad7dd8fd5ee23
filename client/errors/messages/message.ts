import type { AgentErrorKind } from '../exit-codes.ts';

/** An error of the catalogue. `{name}` in a sentence stands for a value. */
export interface Message {
  /** Decides the exit code. */
  kind: AgentErrorKind;
  /** What happened and where, a sentence. */
  message: string;
  /** What to do, a sentence. */
  action: string;
  /** Whether the same thing may succeed when it is done again, unchanged. Default: no. */
  retryable?: boolean;
}

export type Messages = Record<string, Message>;

type NamesIn<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}` ? Name | NamesIn<Rest> : never;

/** The values that both sentences of a message need. */
export type ValuesOf<M extends Message> = Record<NamesIn<M['message'] | M['action']>, string | number>;

/** Returns a sentence with its values; what a value holds is not looked into. */
export function fill(sentence: string, values: Readonly<Record<string, string | number>>): string {
  return sentence.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
}
