/** Where a value is written: what RowWriter and the buffer of tedious have in common. */
export interface Out {
  writeUInt8(value: number): void;
  writeUInt16LE(value: number): void;
  writeUInt24LE(value: number): void;
  writeUInt32LE(value: number): void;
  writeInt16LE(value: number): void;
  writeInt32LE(value: number): void;
  writeBigInt64LE(value: bigint): void;
  writeFloatLE(value: number): void;
  writeDoubleLE(value: number): void;
  writeBuffer(value: Buffer): void;
  writeString(value: string, encoding: 'ucs2'): void;
}

/**
 * Bytes of whole rows, in one buffer of a fixed size. Who writes a row asks `left` first: nothing here looks whether there is
 * room. Numbers are little-endian.
 */
export class RowWriter implements Out {
  readonly capacity: number;
  buffer: Buffer;
  pos = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.buffer = Buffer.allocUnsafeSlow(capacity);
  }

  get left(): number {
    return this.capacity - this.pos;
  }

  /** What was written, which is the caller's from here on: what follows goes to another buffer. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.pos);
    this.buffer = Buffer.allocUnsafeSlow(this.capacity);
    this.pos = 0;
    return taken;
  }

  writeUInt8(value: number): void {
    this.buffer[this.pos++] = value;
  }

  writeUInt16LE(value: number): void {
    const { buffer, pos } = this;
    buffer[pos] = value;
    buffer[pos + 1] = value >>> 8;
    this.pos = pos + 2;
  }

  writeUInt24LE(value: number): void {
    const { buffer, pos } = this;
    buffer[pos] = value;
    buffer[pos + 1] = value >>> 8;
    buffer[pos + 2] = value >>> 16;
    this.pos = pos + 3;
  }

  writeUInt32LE(value: number): void {
    const { buffer, pos } = this;
    buffer[pos] = value;
    buffer[pos + 1] = value >>> 8;
    buffer[pos + 2] = value >>> 16;
    buffer[pos + 3] = value >>> 24;
    this.pos = pos + 4;
  }

  writeInt16LE(value: number): void {
    this.writeUInt16LE(value);
  }

  writeInt32LE(value: number): void {
    this.writeUInt32LE(value);
  }

  writeBigInt64LE(value: bigint): void {
    this.pos = this.buffer.writeBigInt64LE(value, this.pos);
  }

  writeFloatLE(value: number): void {
    this.pos = this.buffer.writeFloatLE(value, this.pos);
  }

  writeDoubleLE(value: number): void {
    this.pos = this.buffer.writeDoubleLE(value, this.pos);
  }

  writeBuffer(value: Buffer): void {
    this.buffer.set(value, this.pos);
    this.pos += value.length;
  }

  writeString(value: string, encoding: 'ucs2'): void {
    this.pos += this.buffer.write(value, this.pos, encoding);
  }
}
