import { createHash } from 'node:crypto';
import Type from 'typebox';
import type {
  ConfigResponse,
  ConfiguracionTablas,
  Direccion,
  TablaBajada,
  TablaSubida,
} from '../../protocol/tenant-config/config.ts';
import { secretColumnsOf } from '../../protocol/tenant-config/field.ts';
import { tableFields } from '../../protocol/tenant-config/settings.ts';
import { tipoCampoOfShortForm } from '../../protocol/tenant-config/tipo-campo.ts';
import { type AgentError, agentError } from '../errors/agent-error.ts';

/**
 * What this agent encrypts and decrypts is remembered in `sync-config.enc`, because the list comes from the server, which is the
 * one that must not read the values. What was there at first is taken. After that:
 *
 *     upload     a column that is left away, or a new or changed query that gives a column of that name in plain,
 *     download   any other list, and values that were sealed for another `tipo_campo`
 *
 * need a person on this machine (`approve`); with `--aprobar-sql` every change does. More columns of an upload are taken.
 */
export const SensitivePinSchema = Type.Object({
  /** SHA-256 of the query that was there at first, was approved, or gave no column that was sensitive; empty: none. */
  consulta: Type.String(),
  campos: Type.Array(
    Type.Object({
      /** In lower case. */
      campo: Type.String(),
      /** Downloads: the `tipo_campo` for which its values were sealed, once one has come. */
      tipos: Type.Optional(Type.Array(Type.String())),
      /** Downloads: whatever comes first is taken, also where the query names a `tipo_campo`. */
      libre: Type.Optional(Type.Boolean()),
      /** Downloads: they have come once without a value that an earlier version sealed, without its table. */
      sinAntiguos: Type.Optional(Type.Boolean()),
    }),
  ),
});

export type SensitivePin = Type.Static<typeof SensitivePinSchema>;
type PinnedColumn = SensitivePin['campos'][number];
/** By `subida clientes`, `bajada clientes_copia`. */
export type SensitivePins = Readonly<Record<string, SensitivePin>>;

/** A line a column, by what it is a column of. */
type ColumnsByPlace = Readonly<Record<string, string>>;

type Tabla = TablaSubida | TablaBajada;
/** More sources than that of one column are not remembered. */
const MAX_TIPOS = 100;

const pinNameOf = (direccion: Direccion, { nombre }: Tabla) =>
  `${direccion === 'upload' ? 'subida' : 'bajada'} ${nombre}`;
const columnsOf = (direccion: Direccion, tabla: Tabla) => secretColumnsOf(tableFields[direccion], tabla);
const hashOf = ({ process }: Tabla) => createHash('sha256').update(process.query).digest('base64url');
const pinFor = (pins: SensitivePins, pinName: string) => (Object.hasOwn(pins, pinName) ? pins[pinName] : undefined);

function tablesOf({ tablasSubida = [], tablasBajada = [] }: ConfiguracionTablas): [Direccion, Tabla][] {
  return [
    ...tablasSubida.map((tabla) => ['upload', tabla] as [Direccion, Tabla]),
    ...tablasBajada.map((tabla) => ['download', tabla] as [Direccion, Tabla]),
  ];
}

/**
 * Returns the pins as if a person had approved this configuration. `before`: what was learnt of the columns of
 * downloads stays, and so do tables that the configuration no longer has.
 */
export function approvedPins(tables: ConfiguracionTablas, before: SensitivePins = {}): SensitivePins {
  const pins: Record<string, SensitivePin> = { ...before };
  for (const [direccion, tabla] of tablesOf(tables)) {
    const pinName = pinNameOf(direccion, tabla);
    const known = pinFor(before, pinName)?.campos ?? [];
    const campos = columnsOf(direccion, tabla).map((campo) => known.find((each) => each.campo === campo) ?? { campo });
    if (direccion === 'upload' || campos.length > 0) pins[pinName] = { consulta: hashOf(tabla), campos };
    else delete pins[pinName];
  }
  return pins;
}

/** Returns the pins without what was learnt: values of downloads may come from any table again. */
export function withoutOrigins(pins: SensitivePins): SensitivePins {
  const forget = ({ consulta, campos }: SensitivePin) => {
    return { consulta, campos: campos.map(({ campo }) => ({ campo, libre: true })) };
  };
  return Object.fromEntries(Object.entries(pins).map(([pinName, pin]) => [pinName, forget(pin)]));
}

/**
 * Returns what holds for a run with `config`. An install folder of an earlier version has none yet: then it is what
 * that version did, by its copy of the configuration, else `config`, unless all has to be approved. Then uploads that
 * are new, or encrypt more, are not added either.
 */
export function settlePins(
  {
    sensitivePins,
    remote,
  }: { sensitivePins?: SensitivePins | undefined; remote?: { config: ConfigResponse } | undefined },
  config: ConfigResponse,
  requiresApproval: boolean,
): SensitivePins {
  const first = remote?.config ?? (requiresApproval ? undefined : config);
  const pins = { ...(sensitivePins ?? approvedPins(first?.configuracionTablas ?? {})) };
  if (requiresApproval) return pins;
  for (const tabla of config.configuracionTablas.tablasSubida ?? []) {
    const pinName = pinNameOf('upload', tabla);
    const { consulta, campos } = pinFor(pins, pinName) ?? { consulta: '', campos: [] };
    const now = columnsOf('upload', tabla);
    if (campos.every(({ campo }) => now.includes(campo)))
      pins[pinName] = { consulta, campos: now.map((campo) => ({ campo })) };
  }
  return pins;
}

/** Returns the sensitive columns as a person reads them beside the SQL (approval.ts): a line a column. */
export function sensitiveByPlace(tables: ConfiguracionTablas): ColumnsByPlace {
  const entries = tablesOf(tables).map(
    ([direccion, tabla]) => [pinNameOf(direccion, tabla), columnsOf(direccion, tabla)] as const,
  );
  return describePlaces(entries);
}

/** Returns the same of what is pinned of these tables. */
export function pinnedByPlace(pins: SensitivePins, tables: ConfiguracionTablas): ColumnsByPlace {
  const names = tablesOf(tables).map(([direccion, tabla]) => pinNameOf(direccion, tabla));
  return describePlaces(
    names.map((pinName) => [pinName, pinFor(pins, pinName)?.campos.map(({ campo }) => campo) ?? []]),
  );
}

function describePlaces(entries: readonly (readonly [string, readonly string[]])[]): ColumnsByPlace {
  const filled = entries.filter(([, columns]) => columns.length > 0);
  return Object.fromEntries(filled.map(([place, columns]) => [`${place}, camposSensibles`, columns.join('\n')]));
}

/** @throws {AgentError} CAMPOS_SENSIBLES_CAMBIADOS where a person has to look at it first */
export function assertPinned(pins: SensitivePins, direccion: Direccion, tabla: Tabla, requiresApproval: boolean): void {
  const pinned = (pinFor(pins, pinNameOf(direccion, tabla))?.campos ?? []).map(({ campo }) => campo);
  const now = columnsOf(direccion, tabla);
  const gone = pinned.filter((campo) => !now.includes(campo));
  const added = now.filter((campo) => !pinned.includes(campo));
  const verb = direccion === 'upload' ? 'cifrar' : 'descifrar';
  if (gone.length > 0) throw changed(tabla, `dejaría de ${verb} «${gone.join('», «')}»`);
  if (added.length > 0 && (direccion === 'download' || requiresApproval)) {
    throw changed(tabla, `pasaría a ${verb} «${added.join('», «')}»`);
  }
}

function changed({ nombre }: Tabla, que: string): AgentError {
  return agentError('CAMPOS_SENSIBLES_CAMBIADOS', { tabla: nombre, que });
}

/** Returns whether the query of an upload is one that was there at first, was approved, or has been looked through. */
export function isKnownQuery(pins: SensitivePins, tabla: TablaSubida): boolean {
  return pinFor(pins, pinNameOf('upload', tabla))?.consulta === hashOf(tabla);
}

/** Returns `pins` with that query known: it gives none of `guardedNames`. */
export function withKnownQuery(pins: SensitivePins, tabla: TablaSubida): SensitivePins {
  const pinName = pinNameOf('upload', tabla);
  const pin = pinFor(pins, pinName);
  return pin === undefined ? pins : { ...pins, [pinName]: { ...pin, consulta: hashOf(tabla) } };
}

/** Names that a query of an upload must not give in plain unless it is known: those of every sensitive column of this agent. */
export function guardedNames(pins: SensitivePins, tabla: TablaSubida): ReadonlySet<string> {
  if (isKnownQuery(pins, tabla)) return new Set();
  const names = Object.values(pins).flatMap(({ campos }) => campos.map(({ campo }) => campo));
  const own = columnsOf('upload', tabla);
  return new Set(names.filter((name) => !own.includes(name)));
}

/** What a value of a download was sealed for: undefined: by an earlier version, which did not say. */
export type SeenOrigin = { tipoCampo: string } | undefined;

/** Where the values of one download come from, held against what is known of that. */
export class Origins {
  readonly #pinName: string;
  readonly #known: readonly PinnedColumn[];
  /** What a query in the short form gives, before anything has come. */
  readonly #asked: string | undefined;
  readonly #seen = new Map<string, { tipos: Set<string>; old: number }>();

  constructor(pins: SensitivePins, tabla: TablaBajada) {
    this.#pinName = pinNameOf('download', tabla);
    this.#known = pinFor(pins, this.#pinName)?.campos ?? [];
    this.#asked = tipoCampoOfShortForm(tabla.process.query);
  }

  /** Values that an earlier version sealed: nothing says for which table. */
  get old(): number {
    return [...this.#seen.values()].reduce((sum, { old }) => sum + old, 0);
  }

  /** Takes note of a value. Throws AgentError where it is of another table than those before it. */
  see(column: string, origin: SeenOrigin): void {
    const campo = column.toLowerCase();
    const known = this.#known.find((each) => each.campo === campo);
    const seen = this.#seen.get(campo) ?? { tipos: new Set(), old: 0 };
    this.#seen.set(campo, seen);
    if (origin === undefined) {
      if (known?.sinAntiguos === true) throw agentError('CAMPO_SENSIBLE_ANTIGUO', { columna: column });
      seen.old++;
      return;
    }
    const { tipoCampo } = origin;
    if (seen.tipos.has(tipoCampo)) return;
    const asked = this.#asked === undefined || known?.libre === true ? undefined : [this.#asked];
    const tipos = known?.tipos ?? asked;
    if (tipos !== undefined && !tipos.includes(tipoCampo)) {
      const conocidos = tipos.join('», «');
      throw agentError('CAMPO_SENSIBLE_DE_OTRA_TABLA', { columna: column, tipoCampo, conocidos });
    }
    if (seen.tipos.size <= MAX_TIPOS) seen.tipos.add(tipoCampo);
  }

  /** `pins` with what this download taught, once all of it has come: what was known stays. */
  learnInto(pins: SensitivePins): SensitivePins {
    const pin = pinFor(pins, this.#pinName);
    if (pin === undefined) return pins;
    const campos = pin.campos.map((known) => {
      const seen = this.#seen.get(known.campo);
      if (seen === undefined || seen.tipos.size === 0 || seen.tipos.size > MAX_TIPOS) return known;
      const tipos = known.tipos ?? [...seen.tipos].sort();
      const { libre: _, ...rest } = known;
      return { ...rest, tipos, ...(seen.old === 0 ? { sinAntiguos: true } : {}) };
    });
    return { ...pins, [this.#pinName]: { ...pin, campos } };
  }
}
