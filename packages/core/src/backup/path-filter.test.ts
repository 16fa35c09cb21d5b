import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileFilter } from './path-filter.ts';

function matches(pattern: string, path: string): boolean {
  const filter = compileFilter(pattern);
  if ('fault' in filter) throw new Error(filter.fault);
  return filter.matches(path);
}

test('a pattern is looked for anywhere in the path', () => {
  expect(matches('balena-.*', '/home/pi/balena-data/x')).toBe(true);
  expect(matches('balena-.*', '/home/pi/balena/x')).toBe(false);
  expect(matches('^/etc/ssh/ssh_host_[^/]*_key(\\.pub)?$', '/etc/ssh/ssh_host_rsa_key.pub')).toBe(true);
  expect(matches('^/etc/ssh/ssh_host_[^/]*_key(\\.pub)?$', '/etc/ssh/sshd_config')).toBe(false);
});

test('takes the same paths as RegExp where both know the syntax', () => {
  const part = fc.constantFrom('a', 'b', '.', '[ab]', '(a|b)', '^/', '$', 'a*', 'b+', '\\.', '[^/]', 'x?', '\\d{2}');
  const path = fc.array(fc.constantFrom('a', 'b', '/', '.', 'x', '1'), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), path, (parts, letters) => {
      const [pattern, text] = [parts.join(''), letters.join('')];
      expect(matches(pattern, text)).toBe(new RegExp(pattern).test(text));
    }),
    { numRuns: 200 },
  );
});

test.each(['(', '[z-a]', '(?=a)', '(a)\\1', 'a{2000}', 'x'.repeat(2000)])('refuses %s', (pattern) => {
  expect(compileFilter(pattern)).toHaveProperty('fault');
});

test('no pattern takes more than linear time', () => {
  // RegExp would take longer than the universe has been there.
  expect(matches('^(a+)+$', `${'a'.repeat(20_000)}b`)).toBe(false);
  expect(matches('(x+x+)+y', 'x'.repeat(5_000))).toBe(false);
});
