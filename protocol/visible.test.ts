import { expect, test } from 'vitest';
import { visible, visibleEntry, visibleJson, visibleLine } from './visible.ts';

test.each([
  ['escape sequences and other controls', 'a\u001b[2Jb\u0000\u007f', 'a\\u{1b}[2Jb\\u{0}\\u{7f}'],
  ['the C1 controls, that some terminals take for escape sequences', '\u009b31m\u0085', '\\u{9b}31m\\u{85}'],
  ['a carriage return that would write over the line', 'good\rbad', 'good\\u{d}bad'],
  ['what reorders text', '\u202ecba\u2066x\u200f', '\\u{202e}cba\\u{2066}x\\u{200f}'],
  ['what is not seen', '\u200b\u00ad\ufeff\u{e0041}\u3164', '\\u{200b}\\u{ad}\\u{feff}\\u{e0041}\\u{3164}'],
  ['line ends that are none to a terminal', '\u2028\u2029', '\\u{2028}\\u{2029}'],
  ['half a character', 'a\ud800b', 'a\\u{d800}b'],
  ['nothing of what people write', 'Ñandú «€» 日本 🔑\t✔ →', 'Ñandú «€» 日本 🔑\t✔ →'],
])('shows %s', (_, text, shown) => {
  expect(visible(text)).toBe(shown);
  expect(visibleEntry(text)).toBe(shown);
  expect(visibleLine(text)).toBe(shown);
  expect(JSON.parse(visibleJson({ text }))).toEqual({ text });
  expect(visible(visibleJson({ text }))).toBe(visibleJson({ text }));
});

test('lines stay lines; of an entry they are set in behind the first; as one line they are shown', () => {
  expect(visible('uno\ndos\r\n  tres\n')).toBe('uno\ndos\n  tres\n');
  expect(visibleEntry('uno\ndos\r\n  tres\n')).toBe('uno\n  dos\n  tres\n  ');
  expect(visibleLine('uno\r\ndos')).toBe('uno\\u{d}\\u{a}dos');
  expect(visibleJson({ a: ['\u009b'] }, 2)).toBe('{\n  "a": [\n    "\\u009b"\n  ]\n}');
});
