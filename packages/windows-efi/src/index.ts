export * from './facts/inspect-windows.ts';
export * from './facts/parse-disks.ts';
export * from './facts/windows-facts.ts';
export * from './network/collect-windows-networks.ts';
export * from './powershell/change-scripts.ts';
export * from './powershell/read-scripts.ts';
export * from './powershell/run-powershell.ts';
