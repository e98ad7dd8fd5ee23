/**
 * Text of somebody else (the other side, a tenant, a database) on its way to a terminal or a log: what a terminal would obey,
 * what reorders or hides other characters, and what some take for a line end is shown by its code, `\u{1b}`. Tabs stay.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Lines stay lines. */
export function visible(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(UNSEEN, (found) => (found === '\n' ? found : codeOf(found)));
}

/** Lines behind the first are set in, so that none passes for an entry of its own. */
export function visibleEntry(text: string): string {
  return visible(text).replace(/\n(?! {2})/g, '\n  ');
}

/** Returns text as one line: line ends are shown by their code too. */
export function visibleLine(text: string): string {
  return text.replace(UNSEEN, codeOf);
}

/** Returns the JSON of `value` that is all visible, by JSON's own escapes; `space` as in JSON.stringify. */
export function visibleJson(value: unknown, space?: number): string {
  return JSON.stringify(value, null, space).replace(UNSEEN, (found) => {
    if (found === '\n') return found;
    return Array.from({ length: found.length }, (_, at) => {
      return `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`;
    }).join('');
  });
}

function codeOf(character: string): string {
  return character === '\t' ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
