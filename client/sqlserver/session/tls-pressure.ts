import { Duplex, Writable } from 'node:stream';
import type { Connection } from 'tedious';

/**
 * tedious runs TLS over a pair of streams: one half is the transport of a TLSSocket, the other is piped to and from the
 * network. Bun's TLS over such a transport has no back-pressure, in neither direction: it writes what it encrypts without
 * asking whether the transport is full, and each time that it is resumed it decrypts all that is there, however much of it
 * waits to be read already. Measured, with a slow SQL Server: a load of 192 MB lay in the transport at once; of rows that were
 * read slowly 1 MB more for each 256 KB taken.
 *
 * So both ways get a gate before the TLSSocket, which passes a piece on when what lies behind is below HELD_MAX.
 */
const HELD_MAX = 512 * 1024;

/** Bounds what a connection holds once it speaks TLS; called before it connects. */
export function boundTls(connection: Connection): void {
  connection.once('secure', () => {
    // tedious joins its streams right after this event; nothing flows before the next tick.
    queueMicrotask(() => joinThroughGates(connection.messageIo));
  });
}

function joinThroughGates({ socket, securePair, outgoingMessageStream }: Connection['messageIo']): void {
  const transport = securePair === undefined ? undefined : transportOf(securePair.encrypted);
  if (securePair === undefined || transport === undefined) return;
  const { cleartext, encrypted } = securePair;

  const out = makeGate(cleartext, () => transport.writableLength);
  outgoingMessageStream.unpipe(cleartext);
  outgoingMessageStream.pipe(out.gate);
  encrypted.on('data', out.look);
  transport.on('drain', out.look);

  const back = makeGate(encrypted, () => cleartext.readableLength);
  socket.unpipe(encrypted);
  socket.pipe(back.gate);
  cleartext.on('data', back.look);
}

/** The half of the pair that the TLSSocket writes to and reads from (native-duplexpair keeps it under a symbol). */
function transportOf(encrypted: Duplex): Duplex | undefined {
  const other = Object.getOwnPropertySymbols(encrypted).find(({ description }) => description === 'Other');
  const half = other === undefined ? undefined : (encrypted as unknown as Record<symbol, unknown>)[other];
  return half instanceof Duplex ? half : undefined;
}

/** A stage before `target` that is full while `held` says so; `look` is to be called whenever that may have changed. */
function makeGate(target: Writable, held: () => number): { gate: Writable; look: () => void } {
  let waiting: (() => void) | undefined;
  const look = () => {
    if (waiting === undefined || held() >= HELD_MAX) return;
    const goOn = waiting;
    waiting = undefined;
    goOn();
  };
  const gate = new Writable({
    write(bytes: Buffer, _encoding, done) {
      target.write(bytes, (error) => {
        if (error) return done(error);
        waiting = done;
        look();
      });
    },
    final(done) {
      target.end(done);
    },
  });
  // Who reads the target's own errors ends the connection for them.
  gate.on('error', () => {});
  return { gate, look };
}
