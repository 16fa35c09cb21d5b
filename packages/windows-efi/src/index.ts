export * from './powershell/change-scripts.ts';
export * from './powershell/read-scripts.ts';
export * from './powershell/run-powershell.ts';
