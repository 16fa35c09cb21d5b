import { describe, expect, it } from 'vitest';
import { readGrubMenu } from './grub-menu.ts';

const header = `if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
`;
const custom = `if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`;

describe('readGrubMenu', () => {
  it('accepts what the stock 00_header and 41_custom write', () => {
    expect(readGrubMenu(header + custom)).toEqual({
      clearsNextEntry: true,
      sourcesCustomCfg: true,
      enforcesSignatures: false,
    });
  });

  it.each([
    ['the entry is not cleared', header.replace('   set next_entry=\n', '')],
    ['the clearing is not saved', header.replace('   save_env next_entry\n', '')],
    [
      'saving comes before clearing',
      header.replace('   set next_entry=\n   save_env next_entry\n', '   save_env next_entry\n   set next_entry=\n'),
    ],
    [
      'clearing is in the other branch',
      header
        .replace('   set next_entry=\n   save_env next_entry\n', '')
        .replace('else\n', 'else\n   set next_entry=\n   save_env next_entry\n'),
    ],
    ['the environment is not loaded', header.replace('  load_env\n', '')],
    ['it is commented out', header.replace('   save_env next_entry', '#  save_env next_entry')],
  ])('sees when %s', (_name, text) => {
    expect(readGrubMenu(text + custom).clearsNextEntry).toBe(false);
  });

  it('sees when custom.cfg is not sourced, or only in a comment', () => {
    expect(readGrubMenu(header).sourcesCustomCfg).toBe(false);
    expect(readGrubMenu(`${header}# source $prefix/custom.cfg\n`).sourcesCustomCfg).toBe(false);
  });

  it('sees that signatures are enforced', () => {
    expect(readGrubMenu(`${header}set check_signatures=enforce\n`).enforcesSignatures).toBe(true);
  });
});
