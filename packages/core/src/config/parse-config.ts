import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Finding } from '../plan/finding.ts';
import { buildConfig } from './build-config.ts';
import type { Config } from './config.ts';
import { type ConfigFile, configSchema, supportKeyword } from './config-schema.ts';
import { checkedButOdd, takeMisplaced } from './config-warnings.ts';
import { schemaFaults } from './schema-faults.ts';
import { textPosition } from './text-position.ts';
import type { YamlFault } from './yaml-syntax.ts';
import { readYamlTree, type YamlTree } from './yaml-tree.ts';

/** Nobody reads more; a hostile file could have thousands. */
const findingLimit = 100;

let compiled: ValidateFunction<ConfigFile> | undefined;

/** Parses balena-migrate.yml. `config` is present if and only if no finding is an error; all faults are found at once. */
export function parseConfig(text: string, fileName: string): { config?: Config; findings: Finding[] } {
  const tree = readYamlTree(text);
  const { value, place } = tree;
  if (value === undefined) return { findings: findingsOf(tree.faults, 'error', { text, fileName }) };
  const misplaced = takeMisplaced(value, place);
  const { file, faults } = checkForm(tree);
  const warnings = [...misplaced, ...(file === undefined ? [] : checkedButOdd(file, place))];
  const findings = [
    ...findingsOf([...tree.faults, ...faults], 'error', { text, fileName }),
    ...findingsOf(warnings, 'warning', { text, fileName }),
  ];
  return { findings, ...(file === undefined ? {} : { config: buildConfig(file) }) };
}

function checkForm({ value, place, faults }: YamlTree): { file?: ConfigFile; faults: readonly YamlFault[] } {
  const at = { offset: 0, path: '' };
  if (value === null) {
    const hint = 'Write at least balena.image.dd.path and balena.config.path into it';
    return { faults: faults.length > 0 ? [] : [{ ...at, code: 'empty', message: 'the file is empty', hint }] };
  }
  const validate = compileSchema();
  if (validate(value)) return faults.length > 0 ? { faults: [] } : { file: value, faults: [] };
  // A value that was not taken over has its fault already.
  const known = new Set(faults.filter(({ code }) => code === 'alias' || code === 'anchor').map((fault) => fault.path));
  return {
    faults: schemaFaults(validate.errors ?? [], place, findingLimit + 1).filter((fault) => !known.has(fault.path)),
  };
}

/** Compiled at first use: other commands never need it. */
function compileSchema(): ValidateFunction<ConfigFile> {
  if (compiled === undefined) {
    const ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true, verbose: true });
    ajv.addVocabulary([supportKeyword]);
    compiled = ajv.compile<ConfigFile>(configSchema);
  }
  return compiled;
}

function findingsOf(
  faults: readonly YamlFault[],
  severity: Finding['severity'],
  { text, fileName }: { text: string; fileName: string },
): Finding[] {
  const ordered = oneAliasALine(
    [...faults].sort((a, b) => a.offset - b.offset),
    text,
  );
  const findings = ordered.slice(0, findingLimit).map(({ code, offset, path, message, hint }) => ({
    severity,
    code: `config-${code}`,
    where: `${fileName}:${textPosition(text, offset)}${path === '' ? '' : ` ${path}`}`,
    message,
    hint,
  }));
  if (ordered.length === findings.length) return findings;
  const more = { code: 'config-more', where: fileName, message: 'more faults follow', hint: 'Correct these first' };
  return [...findings, { severity, ...more }];
}

/** A list of aliases is one mistake. */
function oneAliasALine(faults: readonly YamlFault[], text: string): readonly YamlFault[] {
  return faults.filter((fault, index) => {
    const before = faults[index - 1];
    if (fault.code !== 'alias' || before?.code !== 'alias') return true;
    return text.slice(before.offset, fault.offset).includes('\n');
  });
}
