import { uint32 } from '../tds/numbers.ts';
import { writeNull } from '../tds/piece-writer.ts';
import { NEEDS_MORE, type ValueWriter } from '../tds/row-io.ts';
import type { VariantForm } from './descriptor.ts';

/** sql_variant holds at most 8,016 bytes. */
const MAX_BYTES = 8016;

/**
 * Makes the writer of a sql_variant as its base type, one of `forms`: 4 bytes with the length (0 for NULL), then the
 * base type, how many bytes of properties, the properties, the value ([MS-TDS] 2.2.5.5.4). It throws Error for a base
 * type that SQL Server does not have.
 */
export function makeVariantWriter(forms: readonly VariantForm[]): ValueWriter {
  const byToken = new Map(forms.map((form) => [form.token, form]));
  return (io, position) => {
    if (io.end - position < 4) return NEEDS_MORE;
    const total = uint32(io.input, position);
    if (total === 0) {
      writeNull(io);
      return position + 4;
    }
    if (total > MAX_BYTES + 16) throw new Error(`TDS: a sql_variant of ${total} bytes`);
    if (io.end - position - 4 < total) return NEEDS_MORE;
    const token = io.input[position + 4]!;
    const properties = position + 6;
    const start = properties + io.input[position + 5]!;
    const end = position + 4 + total;
    const form = byToken.get(token);
    if (form === undefined) throw new Error(`TDS: a sql_variant of the unknown type ${token}`);
    if (form.bytes !== undefined && end - start !== form.bytes) {
      throw new Error(`TDS: a sql_variant of type ${token} of ${end - start} bytes`);
    }
    form.write(io, start, end, properties);
    return end;
  };
}
