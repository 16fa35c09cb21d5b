import { describe, expect, it } from 'vitest';
import { createReporter, serializeReport } from './report.ts';

const reporter = () =>
  createReporter({ toolVersion: '0.1.0', stage: 1, command: 'immediate', now: () => new Date('2026-01-02T03:04:05Z') });

describe('a report', () => {
  it('tells what became of each step', () => {
    const { observe, report } = reporter();
    observe({ kind: 'step-started', step: 'a', text: 'make a' });
    observe({ kind: 'step-done', step: 'a', milliseconds: 5 });
    observe({ kind: 'step-started', step: 'b', text: 'make b' });
    observe({ kind: 'step-failed', step: 'b', text: 'no room' });
    observe({ kind: 'step-undone', step: 'a' });
    expect(report({ result: 'undone', exitCode: 4, message: 'no room' })).toEqual({
      version: 1,
      toolVersion: '0.1.0',
      stage: 1,
      command: 'immediate',
      result: 'undone',
      exitCode: 4,
      message: 'no room',
      startedAt: '2026-01-02T03:04:05.000Z',
      finishedAt: '2026-01-02T03:04:05.000Z',
      findings: [],
      steps: [
        { id: 'a', text: 'make a', state: 'undone', milliseconds: 5 },
        { id: 'b', text: 'make b', state: 'failed' },
      ],
    });
  });

  it('has no secrets', () => {
    const text = new TextDecoder().decode(
      serializeReport(reporter().report({ result: 'failed', message: 'asking https://me:canary@host: psk=canary' })),
    );
    expect(text).toContain('https://[secret]@host: psk=[secret]');
    expect(text).not.toContain('canary');
  });
});
