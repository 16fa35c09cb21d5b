/**
 * `path`, written with slashes, below a directory of any system. Windows takes paths of volumes (`\\?\Volume{…}\`) as they are,
 * where only a backslash separates names (Naming Files, Paths, and Namespaces: Win32 file namespaces).
 */
export function pathBelow(directory: string, path: string): string {
  const separator = directory.includes('\\') ? '\\' : '/';
  const names = path.split('/').filter((name) => name !== '');
  return [directory.replace(/[\\/]+$/, ''), ...names].join(separator);
}
