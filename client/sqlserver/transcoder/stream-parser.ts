import TediousStreamParser from 'tedious/lib/token/stream-parser.js';

/** tedious' parser of tokens. Its types promise an ES module with a default; its code is the class itself. */
export const StreamParser = TediousStreamParser as unknown as typeof TediousStreamParser.default;
