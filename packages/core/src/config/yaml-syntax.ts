// Syntax faults of YAML in plain words. The library's own messages are not passed on: they speak of its grammar, and can quote
// the file.
import { type Document, isScalar, visit, type YAMLError } from 'yaml';

/** Something wrong at one place of the text. */
export interface YamlFault {
  readonly code: string;
  /** Index into the text, in UTF-16 units. */
  readonly offset: number;
  /** Key path such as `migrate.mode`, empty for none. */
  readonly path: string;
  readonly message: string;
  readonly hint: string;
}

/** The first faults are the ones to correct; the rest mostly follows from them. */
const errorLimit = 200;

type Words = readonly [message: string, hint: string];

const quotesHint = 'Put text with special characters in single quotes';
const aliasWords: Words = ['anchors (&) and aliases (*) are not allowed', 'Text that begins with & or * needs quotes'];
const keyWords: Words = [
  'this reads as a setting whose name runs over several lines',
  'Look for a missing colon here or in the line before, and for wrong indentation',
];

const deeperWords: Words = [
  'this line is indented more than the one above, which begins no section',
  'Indent both by the same number of blanks, or end the one above with a colon',
];
const openBracketWords: Words = ['a bracket that was opened before is not closed', 'Close it with ] or }'];

const words: Partial<Record<YAMLError['code'], Words>> = {
  ALIAS_PROPS: aliasWords,
  BAD_ALIAS: aliasWords,
  MULTIPLE_ANCHORS: aliasWords,
  BAD_DQ_ESCAPE: ['unknown escape sequence in double quotes', 'Use single quotes, or write a backslash as \\\\'],
  BAD_INDENT: [
    'the indentation does not fit the lines above',
    'Indent all settings of a section by the same number of blanks, without tabs',
  ],
  BAD_SCALAR_START: ['text cannot begin with this character', quotesHint],
  BLOCK_AS_IMPLICIT_KEY: [
    'a second "name: value" stands in the same line',
    `${quotesHint}; a section begins on a line of its own`,
  ],
  BLOCK_IN_FLOW: openBracketWords,
  KEY_OVER_1024_CHARS: keyWords,
  MULTILINE_IMPLICIT_KEY: keyWords,
  MISSING_CHAR: [
    'something is missing here: a colon, a comma, a blank, a quote or a bracket',
    'A setting is written "name: value", an item of a list "- value"',
  ],
  RESOURCE_EXHAUSTION: ['the sections are nested too deeply', 'Check the indentation and the brackets'],
  TAB_AS_INDENT: ['a tab is used for indentation', 'Use blanks'],
  TAG_RESOLVE_FAILED: ['this type tag (!) is not known', 'Remove it; text that begins with ! needs quotes'],
  BAD_COLLECTION_TYPE: ['this type tag (!) does not fit', 'Remove it; text that begins with ! needs quotes'],
  BAD_DIRECTIVE: ['this directive (%) is not known', 'Remove the line; text that begins with % needs quotes'],
};
const otherWords: Words = [
  'this is not valid YAML',
  `Look for a missing quote, colon or bracket before it. ${quotesHint}`,
];

/** One fault for each line that has any, with its cause where that lies elsewhere. */
export function syntaxFaults(document: Document.Parsed, text: string): readonly YamlFault[] {
  const errors = [...document.errors, ...document.warnings].slice(0, errorLimit);
  if (errors.length === 0) return [];
  const marker = /^[ \t]+---[ \t]*$/m.exec(text);
  if (marker !== null) {
    return [
      fault(marker.index + marker[0].indexOf('-'), [
        'an indented "---" stands among the settings',
        'Remove this line; when pasting what balena-extract prints, leave it out',
      ]),
    ];
  }
  const lines = new Set<number>();
  return errors.flatMap((error) => {
    const found = faultOf(error, document, text);
    const line = text.lastIndexOf('\n', found.offset - 1);
    if (lines.has(line)) return [];
    lines.add(line);
    return [found];
  });
}

function faultOf(error: YAMLError, document: Document.Parsed, text: string): YamlFault {
  const [offset] = error.pos;
  const opening = error.message.startsWith('Missing closing') ? openingQuote(document, offset) : undefined;
  if (opening !== undefined) {
    return fault(opening, ['the quote that opens here is not closed', 'Close it in the same line']);
  }
  if (error.message.startsWith('Flow ')) return fault(offset, openBracketWords);
  if (error.code === 'BLOCK_AS_IMPLICIT_KEY' || error.code === 'MULTILINE_IMPLICIT_KEY') {
    const deeper = deeperLine(text, offset);
    if (deeper !== undefined) return fault(deeper, deeperWords);
  }
  return fault(offset, words[error.code] ?? otherWords);
}

/** Start of the text in the line after `offset`, when that line is indented more than this one. */
function deeperLine(text: string, offset: number): number | undefined {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const lines = /^( *).*\n(?:[ \t]*\n)*( *)\S/.exec(text.slice(start));
  const [whole = '', indent = '', nextIndent = ''] = lines ?? [];
  return nextIndent.length > indent.length ? start + whole.length - 1 : undefined;
}

/** Where the quoted text begins that was still open at `offset`. */
function openingQuote(document: Document.Parsed, offset: number): number | undefined {
  let found: number | undefined;
  visit(document, {
    Scalar: (_key, node) => {
      if (!isScalar(node) || node.range === undefined || node.range === null || !node.type?.startsWith('QUOTE')) return;
      const [start, end] = node.range;
      if (start <= offset && offset <= end) found = start;
    },
  });
  return found;
}

function fault(offset: number, [message, hint]: Words): YamlFault {
  return yamlFault('syntax', offset, message, hint);
}

/** A fault of the whole text rather than of one setting. */
export function yamlFault(code: string, offset: number, message: string, hint: string): YamlFault {
  return { code, offset, path: '', message, hint };
}
