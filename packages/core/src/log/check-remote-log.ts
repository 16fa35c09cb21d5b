import { decodeAuthority } from '../cloud/authority.ts';
import type { Config } from '../config/config.ts';
import type { Facts } from '../machine/facts.ts';
import { error, warning } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import { parseRemoteUrl } from './remote-address.ts';

/** What stands against sending the log, and where it will not be sent. */
export function checkRemoteLog({ migrate }: Config, { wired }: Pick<Facts, 'wired'>): readonly Finding[] {
  const { remote } = migrate.log;
  if (remote === undefined) return [];
  if (parseRemoteUrl(remote.url) === undefined)
    return [
      error(
        'log-remote-url',
        'migrate.log.remote.url',
        'it is no URL of a server',
        'Write it as https://SERVER/PATH or syslog+tcp://SERVER:PORT',
      ),
    ];
  if (remote.rootCa !== undefined && decodeAuthority(remote.rootCa) === undefined)
    return [
      error(
        'log-remote-ca',
        'migrate.log.remote.root_ca',
        'it is not a certificate in base64',
        'Give what base64 -w 0 prints of the PEM file',
      ),
    ];
  if (!remote.inStage2 || wired !== undefined) return [];
  return [
    warning(
      'log-remote-stage1-only',
      'migrate.log.remote',
      'no wired interface is up, so stage 2 cannot send its log; that of stage 1 is sent',
      'Look for the log of stage 2 on resin-data, or on this system after a failure; or set stage2: false',
    ),
  ];
}
