/** What keeps the server or a command from its work, in words for whoever runs it: what is wrong, and what to do. Shown without a stack. */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError';
}
