// Which proxy the environment names for an address, by the rules that curl has (curl(1), ENVIRONMENT).

/** Variables of the process, or a test's. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for an address, or undefined for none: `https_proxy` or `HTTPS_PROXY` for https, `http_proxy` for http (in lower case
 * only, as CGI sets the other), then `all_proxy` or `ALL_PROXY`. `no_proxy` lists hosts that are asked directly. Proxies are
 * http addresses; any other kind is ignored as if it was not there.
 */
export function proxyFor(target: URL, env: Environment): URL | undefined {
  if (isExcepted(target, env.no_proxy ?? env.NO_PROXY ?? '')) return undefined;
  const own = target.protocol === 'https:' ? (env.https_proxy ?? env.HTTPS_PROXY) : env.http_proxy;
  const value = own ?? env.all_proxy ?? env.ALL_PROXY ?? '';
  if (value === '') return undefined;
  const address = value.includes('://') ? value : `http://${value}`;
  if (!URL.canParse(address)) return undefined;
  const proxy = new URL(address);
  return proxy.protocol === 'http:' ? proxy : undefined;
}

/** `no_proxy`: names by suffix at a dot, with or without a leading dot or a port; `*` is every host. */
function isExcepted({ hostname, port, protocol }: URL, list: string): boolean {
  const ownPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  const host = hostname.toLowerCase();
  return list.split(/[,\s]+/).some((entry) => {
    const [, name = '', entryPort] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    if (name === '*') return true;
    const suffix = name.replace(/^\*?\./, '');
    if (suffix === '' || (entryPort !== undefined && entryPort !== ownPort)) return false;
    return host === suffix || host.endsWith(`.${suffix}`);
  });
}
