import { expect, test } from 'vitest';
import { splitStatements } from './statements.ts';

test.each([
  ['SELECT 1', ['SELECT 1']],
  ['SELECT 1; SELECT 2;\n', ['SELECT 1', 'SELECT 2']],
  [' ;; -- nada; más\n/* ni ; /* aquí; */ ; */ ;', []],
  [`SELECT 'a;''b'; SELECT E'c\\';d'; SELECT 2`, [`SELECT 'a;''b'`, `SELECT E'c\\';d'`, 'SELECT 2']],
  [`SELECT 'a\\'; SELECT 2`, [`SELECT 'a\\'`, 'SELECT 2']],
  [`SELECT "a;""b"; SELECT $$;$$; SELECT $x$;$$;$x$`, [`SELECT "a;""b"`, 'SELECT $$;$$', 'SELECT $x$;$$;$x$']],
  [`SELECT a$b$ FROM t; SELECT $1; SELECT 2`, ['SELECT a$b$ FROM t', 'SELECT $1', 'SELECT 2']],
  [`SELECT 'sin cerrar; SELECT 2`, [`SELECT 'sin cerrar; SELECT 2`]],
  ['SELECT 1 -- ; uno\n; SELECT 2 /* ; */', ['SELECT 1 -- ; uno', 'SELECT 2 /* ; */']],
])('%j', (sql, expected) => {
  const found = splitStatements(sql);
  expect(found.map((statement) => statement.sql)).toEqual(expected);
  for (const statement of found) expect(sql.startsWith(statement.sql, statement.offset)).toBe(true);
});
