import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { type Column, SqlError, type SqlValue } from '../../fixtures/sqlserver/engine.ts';
import type { Answer } from '../../fixtures/sqlserver/tds/canned-engine.ts';
import { parseSqlType } from '../../protocol/rows/sql-types.ts';
import {
  type BulkColumn,
  type SqlServer,
  SqlServerError,
  type SqlServerErrorCode,
  type SqlServerSettings,
  withSqlServer,
} from './sql-server.ts';
import { answerRows, type RunningWire, startWire } from './testing/wire.ts';

const wires: RunningWire[] = [];

async function serve(answer: Answer, options?: { tls: boolean }): Promise<RunningWire> {
  const wire = await startWire(answer, options);
  wires.push(wire);
  return wire;
}

afterEach(async () => {
  for (const wire of wires.splice(0)) {
    // A connection that a test leaves open is a leak of withSqlServer.
    for (let i = 0; i < 100 && wire.engine.openSessions > 0; i++) await sleep(20);
    const left = wire.engine.openSessions;
    await wire.stop();
    expect(left).toBe(0);
  }
});

const { signal } = new AbortController();

function column(name: string, type = 'INT'): Column {
  return { name, type: parseSqlType(type), nullable: true };
}

function use<T>(
  wire: RunningWire,
  run: (db: SqlServer) => Promise<T>,
  more: Partial<SqlServerSettings> = {},
): Promise<T> {
  return withSqlServer({ ...wire.settings, ...more }, { signal }, run);
}

async function failureOf(promise: Promise<unknown>): Promise<SqlServerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SqlServerError)) throw new Error('no SqlServerError', { cause: error });
  return error;
}

async function drain(rows: AsyncIterable<{ bytes: Uint8Array }>): Promise<string> {
  let text = '';
  for await (const { bytes } of rows) text += Buffer.from(bytes).toString();
  return text;
}

function* count(to: number, padding = ''): Generator<SqlValue[]> {
  for (let n = 0; n < to; n++) yield [n, padding];
}

/** An answer that never comes, until it is cancelled. */
const hang: Answer = (_sql, _parameters, _out, signal) =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

const fail =
  (...error: ConstructorParameters<typeof SqlError>): Answer =>
  async (_sql, _parameters, out) =>
    out.message(new SqlError(...error));

describe('login', () => {
  test('a wrong password', async () => {
    const wire = await serve(hang, { tls: true });
    const error = await failureOf(use(wire, async () => {}, { password: 'otra' }));
    expect(error).toMatchObject({ code: 'CREDENCIALES', number: 18456, retryable: false });
    expect(`${error.message} ${error.action}`).toMatch(/base pruebas.*usuario y la contraseña/);
    expect(error.message).not.toContain('otra');
  });

  test('a database that is not there', async () => {
    const wire = await serve(hang, { tls: true });
    const error = await failureOf(use(wire, async () => {}, { database: 'missing' }));
    expect(error).toMatchObject({ code: 'BASE_DE_DATOS', number: 4060, retryable: false });
  });

  test('a certificate that nobody vouches for', async () => {
    const wire = await serve(hang, { tls: true });
    const error = await failureOf(use(wire, async () => {}, { trustServerCertificate: false }));
    expect(error).toMatchObject({ code: 'CIFRADO', retryable: false });
    expect(error.action).toContain('--sql-confiar-certificado');
  });

  test('a server that does not encrypt', async () => {
    const wire = await serve(hang);
    const error = await failureOf(use(wire, async () => {}, { encrypt: true }));
    expect(error).toMatchObject({ code: 'CIFRADO', retryable: false });
  });

  test('what `use` throws comes out, and the connection ends', async () => {
    const wire = await serve(hang);
    const boom = new Error('boom');
    await expect(
      use(wire, () => {
        throw boom;
      }),
    ).rejects.toBe(boom);
  });
});

describe('statements', () => {
  test('rows affected add up; rows read do not count', async () => {
    const wire = await serve(async (_sql, _parameters, out) => {
      await out.statementDone(3, false);
      await out.columns([column('a')]);
      await out.row([1]);
      await out.statementDone(1, true);
      await out.statementDone(undefined, false);
      await out.statementDone(4, false);
    });
    expect(await use(wire, (db) => db.execute('UPDATE x'))).toEqual({ rowsAffected: 7 });
  });

  test('parameters arrive with their types and every digit', async () => {
    let seen: unknown;
    const wire = await serve(async (_sql, parameters, out) => {
      seen = parameters.map(({ name, type, value }) => [name, type.name, type.scale, value]);
      await out.statementDone(1, false);
    });
    const parameters = [
      { name: 'ultimaSync', type: 'datetime2', value: '2024-01-15T10:30:00.1234567' },
      { name: 'nada', type: 'datetime2', value: null },
      { name: 'texto', type: 'nvarchar', value: 'ñ 😀' },
      { name: 'grande', type: 'bigint', value: '9223372036854775807' },
      { name: 'n', type: 'int', value: -5 },
    ] as const;
    await use(wire, (db) => db.execute('x', { parameters }));
    // 738,899 days and 10:30:00.1234567 in 100 ns units.
    expect(seen).toEqual([
      ['@ultimaSync', 'datetime2', 7, 738_899n * 864_000_000_000n + 378_001_234_567n],
      ['@nada', 'datetime2', 7, null],
      ['@texto', 'nvarchar', undefined, 'ñ 😀'],
      ['@grande', 'bigint', undefined, 9_223_372_036_854_775_807n],
      ['@n', 'int', undefined, -5],
    ]);
    const bad = [{ name: 'x', type: 'datetime2', value: 'ayer' }] as const;
    const error = await failureOf(use(wire, (db) => db.execute('x', { parameters: bad })));
    expect(error).toMatchObject({ code: 'VALOR_NO_CABE' });
    expect(error.message).toContain('@x');
  });

  test('PRINT reaches onMessage', async () => {
    const wire = await serve(async (_sql, _parameters, out) => {
      await out.message({ number: 0, state: 1, class: 0, message: 'hola', line: 1 });
      await out.statementDone(undefined, false);
    });
    const messages: string[] = [];
    await withSqlServer(wire.settings, { signal, onMessage: (text) => messages.push(text) }, (db) =>
      db.execute('PRINT'),
    );
    expect(messages).toEqual(['hola']);
  });

  test.each([
    [208, 'CONSULTA', false],
    [229, 'PERMISOS', false],
    [916, 'BASE_DE_DATOS', false],
    [245, 'VALOR', false],
    [1222, 'TIEMPO', true],
    [9002, 'RECURSOS', true],
    [596, 'CONEXION', true],
    [1205, 'BLOQUEO_1205', true],
    [2627, 'RESTRICCION', false],
    [50_000, 'CONSULTA', false],
  ])('error %s is %s', async (number, code, retryable) => {
    const wire = await serve(fail(number, 'Invalid object name.', { line: 3 }));
    const error = await failureOf(use(wire, (db) => db.execute('x')));
    expect(error).toMatchObject({ code, number, line: 3, retryable });
    expect(error.message).toMatch(new RegExp(`error ${number} \\(línea 3\\): Invalid object name`));
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('of several errors the first is told', async () => {
    const wire = await serve(async (_sql, _parameters, out) => {
      await out.message(new SqlError(547, 'first', { class: 16 }));
      await out.message(new SqlError(3621, 'second', { class: 16 }));
    });
    expect(await failureOf(use(wire, (db) => db.execute('x')))).toMatchObject({ number: 547 });
  });

  test('the session goes on after an error and after a cancelled statement', async () => {
    const wire = await serve(async (sql, ...rest) => {
      if (sql === 'hang') return hang(sql, ...rest);
      if (sql === 'fail') return fail(208, 'no')(sql, ...rest);
      return answerRows([column('a')], [[1]])(sql, ...rest);
    });
    await use(wire, async (db) => {
      await failureOf(db.execute('fail'));
      const stop = new AbortController();
      const reason = new Error('stop');
      setTimeout(() => stop.abort(reason), 50);
      await expect(db.execute('hang', { signal: stop.signal })).rejects.toBe(reason);
      await expect(db.execute('x', { signal: stop.signal })).rejects.toBe(reason);
      expect(await db.query('x')).toEqual([{ a: 1 }]);
    });
  });

  test('a query of more than 10,000 rows is refused', async () => {
    const wire = await serve((sql, ...rest) =>
      answerRows([column('a'), column('b', 'VARCHAR(9)')], count(Number(sql)))(sql, ...rest),
    );
    await use(wire, async (db) => {
      expect(await db.query('10000')).toHaveLength(10_000);
      expect(await failureOf(db.query('10001'))).toMatchObject({ code: 'RESULTADO_GRANDE' });
      expect(await db.query('1')).toEqual([{ a: 0, b: '' }]);
    });
  });

  test('a transaction commits, or rolls back with the first error', async () => {
    const wire = await serve(async (sql, _parameters, out) => {
      if (sql === 'fail') await out.message(new SqlError(547, 'no'));
      await out.statementDone(undefined, false);
    });
    await use(wire, async (db) => {
      await db.transaction(() => db.execute('work'));
      expect(await failureOf(db.transaction(() => db.execute('fail')))).toMatchObject({ number: 547 });
    });
    expect(wire.engine.log.filter((sql) => !/^\s*set /i.test(sql))).toEqual([
      'BEGIN TRANSACTION',
      'work',
      'COMMIT TRANSACTION',
      'BEGIN TRANSACTION',
      'fail',
      'IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION',
    ]);
  });

  test('a server that goes silent is a lost connection', async () => {
    const wire = await serve(hang);
    const error = await failureOf(use(wire, (db) => db.query('x'), { idleTimeoutMs: 200 }));
    expect(error).toMatchObject({ code: 'TIEMPO', retryable: true });
  });

  test('a connection that is cut in the middle of a statement', async () => {
    const wire = await serve(hang);
    const done = failureOf(use(wire, (db) => db.execute('x')));
    await sleep(400);
    await wire.stop();
    expect(await done).toMatchObject({ code: 'CONEXION', retryable: true });
  });
});

describe.each(['row-events', 'transcoder'] as const)('reading rows (%s)', (reader) => {
  test('blocks of whole lines, bounded, in order', async () => {
    const wire = await serve(answerRows([column('n'), column('x', 'VARCHAR(100)')], count(5000, 'x'.repeat(50))));
    await use(wire, async (db) => {
      let text = '';
      let rows = 0;
      for await (const block of db.readRows('x', { signal, blockBytes: 4096, reader })) {
        expect(block.bytes.length).toBeLessThan(4096 + 100);
        expect(block.bytes.at(-1)).toBe(0x0a);
        text += Buffer.from(block.bytes).toString();
        rows += block.rows;
      }
      expect(rows).toBe(5000);
      const expected = [...count(5000)].map(([n]) => `{"n":${n},"x":"${'x'.repeat(50)}"}\n`).join('');
      expect(text === expected).toBe(true);
    });
  });

  test('no rows are no blocks', async () => {
    const wire = await serve(answerRows([column('n')], []));
    expect(await use(wire, (db) => drain(db.readRows('x', { signal, reader })))).toBe('');
  });

  test('what jsonb cannot hold is replaced and counted', async () => {
    const rows = [['a\0b'], ['\uD83D'], ['😀']];
    const wire = await serve(answerRows([column('t', 'NVARCHAR(9)')], rows));
    await use(wire, async (db) => {
      const blocks = [];
      for await (const { bytes, replacedCharacters } of db.readRows('x', { signal, reader })) {
        blocks.push([Buffer.from(bytes).toString(), replacedCharacters]);
      }
      expect(blocks).toEqual([['{"t":"a\uFFFDb"}\n{"t":"\uFFFD"}\n{"t":"😀"}\n', 2]]);
    });
  });

  test('keys are escaped', async () => {
    const wire = await serve(answerRows([column('a "b"\\'), column('ñ\n')], [[1, 2]]));
    expect(await use(wire, (db) => drain(db.readRows('x', { signal, reader })))).toBe('{"a \\"b\\"\\\\":1,"ñ\\n":2}\n');
  });

  test.each([
    ['names repeated', answerRows([column('a'), column('a')], [[1, 2]]), 'COLUMNA_REPETIDA', /dos columnas «a»/],
    [
      'a column without a name',
      answerRows([column('a'), column('')], [[1, 2]]),
      'COLUMNA_SIN_NOMBRE',
      /columna 2.*no tiene nombre/,
    ],
    [
      'no result set',
      async (_sql: string, _parameters: unknown, out: Parameters<Answer>[2]) => out.statementDone(2, false),
      'RESULTADO_AUSENTE',
      /no devuelve filas/,
    ],
    [
      'two result sets',
      async (...args: Parameters<Answer>) => {
        await answerRows([column('a')], [[1]])(...args);
        await answerRows([column('b')], [[2]])(...args);
      },
      'RESULTADO_REPETIDO',
      /más de un conjunto/,
    ],
  ] as [string, Answer, SqlServerErrorCode, RegExp][])('%s is an error', async (_name, answer, code, message) => {
    const wire = await serve((sql, ...rest) =>
      (sql === 'ok' ? answerRows([column('a')], [[1]]) : answer)(sql, ...rest),
    );
    await use(wire, async (db) => {
      const error = await failureOf(drain(db.readRows('x', { signal, reader })));
      expect(error).toMatchObject({ code });
      expect(error.message).toMatch(message);
      expect(await db.query('ok')).toEqual([{ a: 1 }]);
    });
  });

  test('an error after some rows is an error, not an end', async () => {
    const wire = await serve(async (_sql, _parameters, out) => {
      await out.columns([column('a')]);
      await out.row([1]);
      await out.message(new SqlError(1205, 'deadlock', { class: 13 }));
    });
    expect(await failureOf(use(wire, (db) => drain(db.readRows('x', { signal, reader }))))).toMatchObject({
      number: 1205,
    });
  });

  test('a consumer that leaves early cancels the request and keeps the session', async () => {
    let wasAborted = false;
    const wire = await serve(async (sql, parameters, out, signal) => {
      if (sql === 'ok') return answerRows([column('a')], [[1]])(sql, parameters, out, signal);
      await answerRows([column('n'), column('x', 'VARCHAR(100)')], count(2_000_000, 'x'))(sql, parameters, out, signal);
      wasAborted = signal.aborted;
    });
    await use(wire, async (db) => {
      for await (const block of db.readRows('x', { signal, blockBytes: 1024, reader })) {
        expect(block.rows).toBeGreaterThan(0);
        break;
      }
      expect(wasAborted).toBe(true);
      expect(await db.query('ok')).toEqual([{ a: 1 }]);
    });
  });

  test('abort in the middle ends with the reason and keeps the session', async () => {
    const wire = await serve((sql, ...rest) =>
      answerRows([column('n'), column('x', 'VARCHAR(100)')], count(sql === 'ok' ? 1 : 2_000_000, 'x'))(sql, ...rest),
    );
    await use(wire, async (db) => {
      const stop = new AbortController();
      const reason = new Error('stop');
      const reading = (async () => {
        for await (const _ of db.readRows('x', { signal: stop.signal, blockBytes: 1024, reader })) stop.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
      expect(await db.query('ok')).toHaveLength(1);
    });
  });

  test('while nobody pulls, the server is not read from', async () => {
    let sent = 0;
    const rows = (function* () {
      for (; sent < 400_000; sent++) yield [sent, 'x'.repeat(100)];
    })();
    const wire = await serve(answerRows([column('n'), column('x', 'VARCHAR(100)')], rows));
    await use(wire, async (db) => {
      const blocks = db.readRows('x', { signal, reader })[Symbol.asyncIterator]();
      await blocks.next();
      let before = -1;
      while (before !== sent) {
        before = sent;
        await sleep(300);
      }
      // 400,000 rows are over 40 MB: what sockets and streams hold between the two is far less.
      expect(sent).toBeLessThan(300_000);
      await blocks.return?.();
    });
  });

  test('a read that goes silent is a lost connection; a slow consumer is not', async () => {
    const wire = await serve(async (sql, parameters, out, signal) => {
      await out.columns([column('n')]);
      for (let n = 0; n < 5000; n++) await out.row([n]);
      if (sql === 'stall') await hang(sql, parameters, out, signal);
      else await out.statementDone(5000, true);
    });
    const error = await failureOf(
      use(wire, (db) => drain(db.readRows('stall', { signal, blockBytes: 1024, reader })), { idleTimeoutMs: 300 }),
    );
    expect(error).toMatchObject({ code: 'TIEMPO', retryable: true });
    await use(
      wire,
      async (db) => {
        let slept = false;
        for await (const _ of db.readRows('x', { signal, blockBytes: 1024, reader })) {
          if (!slept) await sleep(900);
          slept = true;
        }
      },
      { idleTimeoutMs: 300 },
    );
  });
});

describe('bulk load', () => {
  const columns: BulkColumn[] = [
    { name: 'codigo', type: parseSqlType('VARCHAR(10)'), nullable: false },
    { name: 'saldo', type: parseSqlType('DECIMAL(9,2)'), nullable: true },
  ];
  const target = [column('codigo', 'VARCHAR(10)'), column('saldo', 'DECIMAL(9,2)')];

  async function ready(): Promise<RunningWire> {
    const wire = await serve(async (_sql, _parameters, out) => out.statementDone(undefined, false));
    wire.engine.bulkColumns = target;
    return wire;
  }

  async function* lines(total: number, bad?: { at: number; line: string }): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < total; n++)
      yield Buffer.from(`${n === bad?.at ? bad.line : `{"codigo":"c${n}","saldo":${n}.25}`}\n`);
  }

  test('rows arrive, and are counted on the way', async () => {
    const wire = await ready();
    const seen: number[] = [];
    const loaded = await use(wire, (db) =>
      db.bulkLoad('#t', columns, lines(3000), { signal, onRows: (rows) => seen.push(rows) }),
    );
    expect(loaded).toBe(3000);
    expect(wire.engine.loaded).toHaveLength(3000);
    expect(wire.engine.loaded[2999]).toEqual(['c2999', 299_925n]);
    expect(seen.at(-1)).toBe(3000);
    expect(wire.engine.log.find((sql) => /^insert bulk/.test(sql))).toBe(
      'insert bulk [#t]([codigo] nvarchar(10), [saldo] decimal(9,2)) WITH (KEEP_NULLS)',
    );
  });

  test('no rows are no error and no request', async () => {
    const wire = await ready();
    expect(await use(wire, (db) => db.bulkLoad('#t', columns, lines(0), { signal }))).toBe(0);
    expect(wire.engine.log.some((sql) => /bulk/.test(sql))).toBe(false);
  });

  test.each([
    ['{"codigo":"x","saldo":1.234}', /^Fila 2501 .*«saldo», valor «1.234»: tiene más de 2 decimales/],
    ['{"codigo":"x","saldo":"uno"}', /«saldo», valor «uno»: no es un número/],
    ['{"codigo":"12345678901","saldo":1}', /«codigo», valor «12345678901»: tiene 11 caracteres y caben 10/],
    [`{"codigo":"${'y'.repeat(200)}","saldo":1}`, /valor «y{80}…»/],
    ['{"saldo":1}', /«codigo», valor «NULL»: la columna no admite NULL/],
    ['{"codigo":"x"', /^Fila 2501 de la descarga: no es un objeto JSON/],
  ])('%s is refused by name; nothing is loaded', async (line, message) => {
    const wire = await ready();
    await use(wire, async (db) => {
      const error = await failureOf(db.bulkLoad('#t', columns, lines(5000, { at: 2500, line }), { signal }));
      expect(error).toMatchObject({ code: 'VALOR_NO_CABE', retryable: false });
      expect(error.message).toMatch(message);
      // The session lives on.
      await db.execute('x');
    });
    expect(wire.engine.loaded).toHaveLength(0);
  });

  test('the first row counts too', async () => {
    const wire = await ready();
    const bad = lines(3, { at: 0, line: '{"codigo":"x","saldo":1.234}' });
    const error = await failureOf(use(wire, (db) => db.bulkLoad('#t', columns, bad, { signal })));
    expect(error.message).toMatch(/^Fila 1 /);
    expect(wire.engine.loaded).toHaveLength(0);
  });

  test('what the source throws comes out; nothing is loaded', async () => {
    const wire = await ready();
    const cut = new Error('the download broke');
    async function* broken() {
      yield* lines(3000);
      throw cut;
    }
    await use(wire, async (db) => {
      await expect(db.bulkLoad('#t', columns, broken(), { signal })).rejects.toBe(cut);
      await db.execute('x');
    });
    expect(wire.engine.loaded).toHaveLength(0);
  });

  test('abort cancels it; nothing is loaded; the source is let go', async () => {
    const wire = await ready();
    const stop = new AbortController();
    const reason = new Error('stop');
    let released = false;
    async function* endless() {
      try {
        for (let n = 0; ; n++) {
          yield* lines(100);
          if (n === 50) stop.abort(reason);
        }
      } finally {
        released = true;
      }
    }
    await use(wire, async (db) => {
      await expect(db.bulkLoad('#t', columns, endless(), { signal: stop.signal })).rejects.toBe(reason);
      await db.execute('x');
    });
    expect(wire.engine.loaded).toHaveLength(0);
    expect(released).toBe(true);
  });

  test('a server that counts other rows than were sent is not believed', async () => {
    const wire = await ready();
    wire.engine.lost = 1;
    const error = await failureOf(use(wire, (db) => db.bulkLoad('#t', columns, lines(3), { signal })));
    expect(error).toMatchObject({ code: 'CARGA_INCOMPLETA', retryable: true });
    expect(error.message).toContain('Se enviaron 3 filas a SQL Server y dice haber cargado 2.');
  });

  test('a table that is not there, a row that the table refuses', async () => {
    const wire = await ready();
    await use(wire, async (db) => {
      expect(await failureOf(db.bulkLoad('absent', columns, lines(1), { signal }))).toMatchObject({ number: 208 });
      await db.execute('x');
    });
    wire.engine.bulkColumns = [column('n')];
    const numbers: BulkColumn[] = [{ name: 'n', type: parseSqlType('INT'), nullable: true }];
    async function* unlucky() {
      yield Buffer.from('{"n":12}\n{"n":13}\n');
    }
    expect(await failureOf(use(wire, (db) => db.bulkLoad('#t', numbers, unlucky(), { signal })))).toMatchObject({
      code: 'RESTRICCION',
      number: 2627,
    });
  });

  test('a source that is slow is no silent server', async () => {
    const wire = await ready();
    async function* slow() {
      yield* lines(10);
      await sleep(900);
      yield* lines(10);
    }
    expect(await use(wire, (db) => db.bulkLoad('#t', columns, slow(), { signal }), { idleTimeoutMs: 300 })).toBe(20);
  });
});
