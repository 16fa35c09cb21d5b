import { expect, it } from 'vitest';
import { runCommand } from './run-command.ts';

it('what a command says is seen as it comes', async () => {
  const heard: string[] = [];
  const script = 'echo out; echo err >&2';
  const result = await runCommand(['sh', '-c', script], { onOutput: (text) => void heard.push(text) });
  expect(result).toEqual({ stdout: 'out\n', stderr: 'err\n' });
  expect(heard.sort()).toEqual(['err\n', 'out\n']);
});
