import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readWifiProfile } from './wifi-profile.ts';

interface Profile {
  readonly authentication?: string;
  readonly encryption?: string;
  readonly key?: string;
  readonly keyType?: string;
  readonly isProtected?: string;
  readonly ssid?: string;
  readonly more?: string;
  readonly oneX?: string;
  readonly type?: string;
  readonly transition?: string;
}

function profile(changes: Profile = {}): string {
  const {
    authentication = 'WPA2PSK',
    encryption = 'AES',
    key,
    keyType = 'passPhrase',
    isProtected = 'false',
  } = changes;
  const ssid = changes.ssid ?? '<hex>686F6D65</hex><name>home</name>';
  const shared =
    key === undefined
      ? ''
      : `<sharedKey><keyType>${keyType}</keyType><protected>${isProtected}</protected><keyMaterial>${key}</keyMaterial></sharedKey>`;
  return `<?xml version="1.0"?>
<WLANProfile xmlns="http://www.microsoft.com/networking/WLAN/profile/v1"><name>home</name>
<SSIDConfig><SSID>${ssid}</SSID>${changes.more ?? ''}</SSIDConfig>
<connectionType>${changes.type ?? 'ESS'}</connectionType>
<MSM><security><authEncryption><authentication>${authentication}</authentication><encryption>${encryption}</encryption>
<useOneX>${changes.oneX ?? 'false'}</useOneX>${changes.transition ?? ''}</authEncryption>${shared}</security></MSM></WLANProfile>`;
}

function networkOf(changes: Profile) {
  const reading = readWifiProfile(profile(changes));
  if (!('network' in reading)) throw new Error(reading.notCarried.reason);
  const { security, ssid, isHidden } = reading.network;
  const psk = 'psk' in security ? security.psk.reveal() : undefined;
  return { kind: security.kind, psk, ssid: Buffer.from(ssid).toString('hex'), isHidden };
}

const home = { ssid: '686f6d65', isHidden: false };
const hexKey = '0123456789abcdef'.repeat(4);
const transition = '<transitionMode xmlns="http://www.microsoft.com/networking/WLAN/profile/v4">true</transitionMode>';

describe('readWifiProfile', () => {
  it.each<[string, Profile, object]>([
    ['WPA2', { key: 'long enough' }, { ...home, kind: 'psk', psk: 'long enough' }],
    [
      'WPA',
      { authentication: 'WPAPSK', encryption: 'TKIP', key: 'long enough' },
      { ...home, kind: 'psk', psk: 'long enough' },
    ],
    ['a key instead of a password', { key: hexKey, keyType: 'networkKey' }, { ...home, kind: 'psk', psk: hexKey }],
    ['WPA3', { authentication: 'WPA3SAE', key: 'x' }, { ...home, kind: 'sae', psk: 'x' }],
    [
      'WPA3 beside WPA2',
      { authentication: 'WPA3SAE', key: 'long enough', transition },
      { ...home, kind: 'psk', psk: 'long enough' },
    ],
    ['no security', { authentication: 'open', encryption: 'none' }, { ...home, kind: 'open', psk: undefined }],
    ['OWE', { authentication: 'OWE' }, { ...home, kind: 'owe', psk: undefined }],
    [
      'a hidden network',
      { key: 'long enough', more: '<nonBroadcast>true</nonBroadcast>' },
      { ...home, kind: 'psk', psk: 'long enough', isHidden: true },
    ],
    [
      'an SSID that is no text',
      { key: 'long enough', ssid: '<hex>00FF00FE</hex><name>?</name>' },
      { kind: 'psk', psk: 'long enough', ssid: '00ff00fe', isHidden: false },
    ],
    [
      'an SSID without its bytes',
      { key: 'long enough', ssid: '<name>Büro</name>' },
      { kind: 'psk', psk: 'long enough', ssid: '42c3bc726f', isHidden: false },
    ],
    ['escaped characters', { key: 'a&amp;b&lt;c&quot;&#x41; xyz' }, { ...home, kind: 'psk', psk: 'a&b<c"A xyz' }],
    ['blanks in a password', { key: ' two  blanks ' }, { ...home, kind: 'psk', psk: ' two  blanks ' }],
  ])('takes %s', (_, changes, expected) => {
    expect(networkOf(changes)).toEqual(expected);
  });

  it.each<[string, Profile, RegExp]>([
    ['an enterprise network', { authentication: 'WPA2', oneX: 'true' }, /enterprise/],
    ['an enterprise network by its kind alone', { authentication: 'WPA3ENT192' }, /enterprise/],
    ['WEP', { authentication: 'open', encryption: 'WEP', key: '12345' }, /WEP/],
    ['WEP with a shared key', { authentication: 'shared', encryption: 'WEP' }, /WEP/],
    ['an encrypted password', { key: '01000000D08C9DDF', isProtected: 'true' }, /encrypted/],
    ['a missing password', {}, /not in the profile/],
    ['a key of another length', { key: 'abcd', keyType: 'networkKey' }, /form/],
    ['a password that is too short', { key: 'short' }, /8 to 63/],
    ['a key for WPA3', { authentication: 'WPA3SAE', key: hexKey, keyType: 'networkKey' }, /password itself/],
    ['a kind that is new', { authentication: 'WPA9' }, /not known/],
    ['an ad-hoc network', { type: 'IBSS', key: 'long enough' }, /ad-hoc/],
    ['an SSID of 33 bytes', { key: 'long enough', ssid: `<hex>${'41'.repeat(33)}</hex>` }, /SSID/],
  ])('leaves %s behind and says why', (_, changes, reason) => {
    const reading = readWifiProfile(profile(changes));
    expect('notCarried' in reading ? reading.notCarried.reason : '').toMatch(reason);
  });

  it('never throws and never shows what it read', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)) }),
        (cut, garbage) => {
          const text = profile({ key: 'a secret word' });
          const reading = readWifiProfile(text.slice(0, cut % text.length) + garbage);
          if ('notCarried' in reading) expect(JSON.stringify(reading)).not.toContain('a secret word');
        },
      ),
      { numRuns: 200 },
    );
    expect(readWifiProfile('<!DOCTYPE x [<!ENTITY a "aaaa">]><WLANProfile>&a;</WLANProfile>')).toHaveProperty(
      'notCarried',
    );
    expect(readWifiProfile(`<WLANProfile>${'<a>'.repeat(60_000)}`)).toHaveProperty('notCarried');
  });
});
