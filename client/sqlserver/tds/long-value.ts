import type { PieceIo, PieceWriter } from './piece-writer.ts';

/** Input that ends at `end`, for now. */
interface LongIo extends PieceIo {
  end: number;
}

/**
 * A value that comes in pieces: the partially length-prefixed types ([MS-TDS] 2.2.5.2.3) and text, ntext, image.
 *
 * Each piece is written as it comes, so the input of a value is never held. A character that two pieces cut (packets
 * and PLP chunks may cut it anywhere) waits in a few bytes of our own.
 */
export class LongValue {
  active = false;
  #write!: PieceWriter;
  #chunked = false;
  /** Bytes left of the chunk, or of the value. */
  #left = 0;
  /** Bytes that the header announced; -1 if it did not. */
  #announced = 0;
  #received = 0;
  /** The cut character at the front (at most 3 bytes), then room for the bytes that complete it. */
  readonly #cut = Buffer.alloc(16);
  #cutLength = 0;

  /** A value in chunks, each behind its length; `announced` is -1 where the header gave no length. */
  beginChunks(io: PieceIo, write: PieceWriter, announced: number): void {
    this.#begin(io, write, announced);
    this.#chunked = true;
    this.#left = 0;
  }

  /** `bytes` in a row. */
  beginRun(io: PieceIo, write: PieceWriter, bytes: number): void {
    this.#begin(io, write, bytes);
    this.#chunked = false;
    this.#left = bytes;
    this.#received = bytes;
  }

  /** Takes what `io` has from `position` on and answers where it stopped; `active` goes false where the value ends. */
  feed(io: LongIo, start: number): number {
    let position = start;
    while (true) {
      if (this.#left === 0) {
        if (!this.#chunked) return this.#finish(io, position);
        if (io.end - position < 4) return position;
        this.#left = io.input.readUInt32LE(position);
        position += 4;
        if (this.#left === 0) return this.#finish(io, position);
        this.#received += this.#left;
      }
      const size = Math.min(this.#left, io.end - position);
      if (size === 0) return position;
      this.#piece(io, position, position + size);
      position += size;
      this.#left -= size;
    }
  }

  #begin(io: PieceIo, write: PieceWriter, announced: number): void {
    this.active = true;
    this.#write = write;
    this.#announced = announced;
    this.#received = 0;
    this.#cutLength = 0;
    io.out[io.at++] = 0x22;
  }

  #finish(io: PieceIo, position: number): number {
    if (this.#announced !== -1 && this.#announced !== this.#received) {
      throw new Error(`TDS: a value of ${this.#announced} bytes came with ${this.#received}`);
    }
    const { input } = io;
    io.input = this.#cut;
    this.#write(io, 0, this.#cutLength, true);
    io.input = input;
    io.reserve(1);
    io.out[io.at++] = 0x22;
    this.active = false;
    return position;
  }

  #piece(io: PieceIo, pieceStart: number, end: number): void {
    const { input } = io;
    let start = pieceStart;
    if (this.#cutLength > 0) {
      const added = Math.min(end - start, 8);
      input.copy(this.#cut, this.#cutLength, start, start + added);
      io.input = this.#cut;
      const length = this.#cutLength + added;
      const used = this.#write(io, 0, length, false);
      io.input = input;
      if (added === end - start) {
        this.#cut.copyWithin(0, used, length);
        this.#cutLength = length - used;
        return;
      }
      start += used - this.#cutLength;
    }
    const used = this.#write(io, start, end, false);
    input.copy(this.#cut, 0, used, end);
    this.#cutLength = end - used;
  }
}
