import { expect, test } from 'vitest';
import { proxyFor } from './proxy.ts';

const proxy = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)?.href;

test('the variable for the kind of address counts, then the one for all', () => {
  const env = { https_proxy: 'http://a:3128', http_proxy: 'b:8080', ALL_PROXY: 'http://c' };
  expect(proxy('https://x.org', env)).toBe('http://a:3128/');
  expect(proxy('http://x.org', env)).toBe('http://b:8080/');
  expect(proxy('https://x.org', { ALL_PROXY: 'http://c' })).toBe('http://c/');
  expect(proxy('https://x.org', { HTTPS_PROXY: 'http://d' })).toBe('http://d/');
  // Set by CGI from a request's header "Proxy".
  expect(proxy('http://x.org', { HTTP_PROXY: 'http://evil' })).toBeUndefined();
  expect(proxy('https://x.org', { https_proxy: '', ALL_PROXY: 'http://c' })).toBeUndefined();
  expect(proxy('https://x.org', { https_proxy: 'socks5://d' })).toBeUndefined();
  expect(proxy('https://x.org', { https_proxy: 'http://[' })).toBeUndefined();
});

test.each([
  ['https://api.x.org', 'x.org', true],
  ['https://api.x.org', '.x.org', true],
  ['https://api.x.org', '*.x.org', true],
  ['https://ax.org', 'x.org', false],
  ['https://x.org', 'y.org, X.ORG', true],
  ['https://x.org', 'x.org:8443', false],
  ['https://x.org:8443', 'x.org:8443', true],
  ['https://x.org', 'x.org:443', true],
  ['https://x.org', '*', true],
  ['https://x.org', '', false],
])('%s is asked directly with no_proxy=%s: %s', (url, list, isDirect) => {
  expect(proxy(url, { https_proxy: 'http://p', no_proxy: list }) === undefined).toBe(isDirect);
});
