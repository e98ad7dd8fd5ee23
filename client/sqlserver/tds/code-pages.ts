import iconv from 'iconv-lite';
import type { PieceWriter } from './piece-writer.ts';
import { makeSingleByteWriter, writeAsciiStart, writeDecoded, writeUtf8 } from './text.ts';

/** The code pages of SQL Server's collations with characters of two bytes. */
const doubleByte = new Set(['CP932', 'CP936', 'CP949', 'CP950']);
/** Of code pages of one byte a character. */
const tables = new Map<string, Uint16Array>();

/** Returns whether a code page, as tedious names it, has characters of several bytes. */
export function isMultiByte(codePage: string | undefined): boolean {
  return codePage === 'utf-8' || doubleByte.has(codePage ?? '');
}

/**
 * Makes a writer of char and varchar in a code page, as tedious names it, for one column: it may remember half a
 * character. Undefined where nobody knows the code page.
 */
export function makeCodePageWriter(codepage: string | undefined): PieceWriter | undefined {
  if (codepage === undefined || !iconv.encodingExists(codepage)) return undefined;
  if (codepage === 'utf-8') return writeUtf8;
  if (doubleByte.has(codepage)) return makeDoubleByteWriter(codepage);
  return makeSingleByteWriter(tableOf(codepage));
}

/**
 * Finds the first character of a text that a code page, as tedious names it, lacks. Undefined where every character fits
 * (UTF-8), and where nobody knows the code page.
 */
export function makeUnfitFinder(codepage: string | undefined): ((text: string) => string | undefined) | undefined {
  const fits = makeCharacterTest(codepage);
  if (fits === undefined) return undefined;
  return (text) => {
    if (isAscii.test(text)) return undefined;
    for (const character of text) if (character > '\x7f' && !fits(character)) return character;
    return undefined;
  };
}

/** Says whether a code page has a UTF-16 unit that is a character by itself, and remembers; undefined where every one fits. */
export function makeUnitTest(codepage: string | undefined): ((unit: number) => boolean) | undefined {
  const fits = makeCharacterTest(codepage);
  if (fits === undefined) return undefined;
  const known = new Uint8Array(0x1_0000);
  return (unit) => {
    if (known[unit] === 0) known[unit] = fits(String.fromCharCode(unit)) ? 1 : 2;
    return known[unit] === 1;
  };
}

function makeCharacterTest(codepage: string | undefined): ((character: string) => boolean) | undefined {
  if (codepage === undefined || codepage === 'utf-8' || !iconv.encodingExists(codepage)) return undefined;
  if (!doubleByte.has(codepage)) return setOf(tableOf(codepage));
  return (character) => iconv.decode(iconv.encode(character, codepage), codepage) === character;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
const isAscii = /^[\x00-\x7f]*$/;

function setOf(units: Uint16Array): (character: string) => boolean {
  const known = new Set(Array.from(units, (unit) => String.fromCharCode(unit)));
  known.delete('\uFFFD');
  return (character) => known.has(character);
}

function tableOf(codepage: string): Uint16Array {
  const units = tables.get(codepage) ?? makeTable(codepage);
  tables.set(codepage, units);
  return units;
}

function makeTable(codepage: string): Uint16Array {
  const units = new Uint16Array(256);
  const isWindows = /^CP(125\d|874)$/.test(codepage);
  for (let byte = 0; byte < 256; byte++) {
    const unit = iconv.decode(Buffer.of(byte), codepage).charCodeAt(0);
    // Windows gives a byte of 80–9F that has no character the C1 control of that number, and so does SQL Server.
    units[byte] = unit === 0xfffd && isWindows && byte < 0xa0 ? byte : unit;
  }
  return units;
}

function makeDoubleByteWriter(codepage: string): PieceWriter {
  /** Of a value that comes in pieces, from its first character beyond ASCII on. */
  let decoder: iconv.DecoderStream | undefined;
  return (io, start, end, last) => {
    if (decoder === undefined) {
      const rest = writeAsciiStart(io, start, end);
      if (rest === end) return end;
      if (last) {
        writeDecoded(io, iconv.decode(io.input.subarray(rest, end), codepage));
        return end;
      }
      decoder = iconv.getDecoder(codepage);
      writeDecoded(io, decoder.write(io.input.subarray(rest, end)));
      return end;
    }
    writeDecoded(io, decoder.write(io.input.subarray(start, end)));
    if (last) {
      writeDecoded(io, decoder.end() ?? '');
      decoder = undefined;
    }
    return end;
  };
}
