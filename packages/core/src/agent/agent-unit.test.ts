import { expect, test } from 'vitest';
import { agentUnit } from './agent-unit.ts';

const unit = agentUnit({
  command: ['/opt/my 50%/migrate', 'agent', 'run', '-c', '/etc/"a"$b\\c.yml'],
  workDirectory: '/root/50%',
});

test('words of the command stay words', () => {
  expect(unit).toContain('ExecStart="/opt/my 50%%/migrate" "agent" "run" "-c" "/etc/\\"a\\"$$b\\\\c.yml"\n');
  expect(unit).toContain('WorkingDirectory=/root/50%%\n');
});

test('nothing in it makes a mount namespace, which would change what stage 1 sees of the machine', () => {
  expect(unit).not.toMatch(/^(Protect|Private|ReadWrite|ReadOnly|Inaccessible|Bind|Temporary|Root|Mount|Dynamic)/m);
  expect(unit).toMatch(/^NoNewPrivileges=yes$/m);
});
