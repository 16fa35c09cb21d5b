// Which of U-Boot's ways starts the old system, by what lies on its medium. The order is that of include/config_distro_bootcmd.h
// and of the environment that the boards' own images bring (EEWIKI_BOOT in their patches of U-Boot, tools/ of
// RobertCNelson/omap-image-builder): for each medium, the card first, extlinux.conf and boot.scr below / and /boot, then
// /uEnv.txt of partition 1 with its uenvcmd, then /boot/uEnv.txt of partitions 1 to 7.
import type { Disk, Facts, Mount } from '@migrate/core';
import { bootFile, listed, mmcDisks, pathBelow, wholeMounts } from './boot-medium.ts';
import { parseExtlinuxConf } from './extlinux-conf.ts';
import { evaluateUenv, parseUenvTxt } from './uenv-txt.ts';

export const extlinuxNames = ['/extlinux/extlinux.conf', '/boot/extlinux/extlinux.conf'] as const;
export const scriptNames = ['/boot.scr', '/boot/boot.scr', '/boot.scr.uimg', '/boot/boot.scr.uimg'];
/** What is read on partition 1, before anything else of this flow. */
export const firstEnvironment = '/uEnv.txt';
const systemEnvironment = '/boot/uEnv.txt';

export type StockFlow =
  /** The environment files, each where it exists. */
  | { readonly kind: 'uenv'; readonly paths: readonly string[] }
  | { readonly kind: 'extlinux' | 'script'; readonly path: string }
  /** Nothing that U-Boot would start. */
  | { readonly kind: 'none' };

/** Files whose presence decides. */
export function flowPaths(facts: Facts): readonly string[] {
  return mmcDisks(facts).flatMap((disk) =>
    wholeMounts(facts, disk).flatMap(({ mount }) =>
      [...extlinuxNames, ...scriptNames, firstEnvironment, systemEnvironment].flatMap(
        (name) => pathBelow(facts, mount, name) ?? [],
      ),
    ),
  );
}

/** The flow that starts from this medium, as far as its partitions are mounted. */
export function flowOf(facts: Facts, disk: Disk): StockFlow {
  const mounts = wholeMounts(facts, disk);
  const find = (names: readonly string[], among: readonly { readonly mount: Mount }[] = mounts): readonly string[] =>
    among.flatMap(({ mount }) =>
      names.flatMap((name) => {
        const path = pathBelow(facts, mount, name);
        return path !== undefined && listed(facts, path)?.kind === 'file' ? [path] : [];
      }),
    );
  const [extlinux] = find(extlinuxNames);
  if (extlinux !== undefined) return { kind: 'extlinux', path: extlinux };
  const [script] = find(scriptNames);
  if (script !== undefined) return { kind: 'script', path: script };
  const first = mounts.filter(({ number }) => number === 1);
  const paths = [...new Set([...find([firstEnvironment], first), ...find([systemEnvironment])])];
  return paths.length === 0 ? { kind: 'none' } : { kind: 'uenv', paths };
}

/**
 * The variables after all environment files were imported, the later file over the earlier one; of extlinux.conf the settings of the
 * entry that is started, with its device tree as `dtb`.
 */
export function stockVariables(facts: Facts, disk: Disk): ReadonlyMap<string, string> {
  const flow = flowOf(facts, disk);
  const variables = new Map<string, string>();
  if (flow.kind === 'extlinux') {
    const settings =
      parseExtlinuxConf(bootFile(facts, flow.path)?.text ?? '').started?.settings ?? new Map<string, string>();
    const tree = settings.get('fdt') ?? settings.get('devicetree');
    return new Map(tree === undefined ? settings : [...settings, ['dtb', tree.replace(/.*\//, '')]]);
  }
  for (const path of flow.kind === 'uenv' ? flow.paths : []) {
    const text = bootFile(facts, path)?.text ?? '';
    for (const [name, value] of evaluateUenv(parseUenvTxt(Buffer.from(text, 'utf8')))) {
      if (value === undefined) variables.delete(name);
      else variables.set(name, value);
    }
  }
  return variables;
}
