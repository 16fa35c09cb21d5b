// The launcher of a kit: the one command on the device. It must run wherever a shell does: dash, bash, busybox ash.
import { configName, launcherName, sumsName } from './kit-layout.ts';

export const launcher = `#!/bin/sh
# Migrates this machine to balenaOS with the files of this directory. Made by "migrate prepare".
set -eu

usage() {
  cat <<TEXT
usage: ./${launcherName} [--pretend] [-y|--yes] [--no-reboot] [--json]   check, say what would be done, ask, and migrate
       ./${launcherName} --check     only compare all files with ${sumsName}
       ./${launcherName} status [--json]
       ./${launcherName} undo [--json]

  --pretend    say what would be done, change nothing
  --yes        migrate without a question
  --no-reboot  prepare this machine; the next boot migrates it
  --json       print results as JSON, events as JSON lines

Exit codes: 0 done, 2 usage or configuration, 3 refused and nothing changed,
            4 failed and undone, 5 failed and not undone, 70 bug
TEXT
}

refuse() {
  printf '${launcherName}: %s\\n' "$1" >&2
  exit 3
}

wrong_usage() {
  printf '${launcherName}: %s\\n' "$1" >&2
  usage >&2
  exit 2
}

self=$0
while [ -h "$self" ]; do
  target=$(readlink "$self")
  case $target in
    /*) self=$target ;;
    *) self=\${self%"\${self##*/}"}$target ;;
  esac
done
case $self in
  */*) home=$(CDPATH='' cd -P -- "\${self%/*}/" && pwd) ;;
  *) home=$(pwd -P) ;;
esac

command=migrate mode=immediate only_check=no json='' yes='' no_reboot=''
case \${1-} in
  status | undo)
    command=$1
    shift
    ;;
esac
for argument; do
  case $command:$argument in
    *:--json) json=--json ;;
    *:-h | *:--help)
      usage
      exit 0
      ;;
    migrate:--pretend) mode=pretend ;;
    migrate:-y | migrate:--yes) yes=--yes ;;
    migrate:--no-reboot) no_reboot=--no-reboot ;;
    migrate:--check) only_check=yes ;;
    *) wrong_usage "unknown argument: $argument" ;;
  esac
done

machine=$(uname -m)
case $machine in
  x86_64) bundle=migrate-linux-x64 ;;
  aarch64 | armv8l) bundle=migrate-linux-arm64 ;;
  armv7l) bundle=migrate-linux-armv7 ;;
  *) refuse "there is no program for machines of the kind $machine" ;;
esac
[ -f "$home/$bundle/migrate" ] || refuse "these files are not for machines of the kind $machine: $bundle is missing; make them anew with --bundle"
[ -x "$home/$bundle/migrate" ] ||
  refuse "programs cannot be started in $home: it is mounted noexec, or the copy lost the modes of its files; unpack the archive with tar, for instance in /root"

# A copy that was cut, or mixed with another one, must not start.
check() {
  [ -s "$home/${sumsName}" ] || refuse "${sumsName} is missing: copy the whole directory"
  cd "$home"
  if command -v sha256sum >/dev/null; then
    sums=$(sha256sum -c ${sumsName} 2>&1) && return 0
  else
    sums=$("$bundle/runtime/busybox" sha256sum -c ${sumsName} 2>&1) && return 0
  fi
  printf '%s\\n' "$sums" | grep -v ': OK$' >&2 || true
  refuse 'these files are damaged or were changed: copy them again'
}

if [ "$command" != migrate ]; then
  exec "$home/$bundle/migrate" "$command" $json
fi
if [ $only_check = yes ]; then
  check
  printf 'all files are as they were made\\n'
  exit 0
fi
[ "$(id -u)" -eq 0 ] || refuse "only root can migrate this machine; run: sudo ./${launcherName}"
check
exec "$home/$bundle/migrate" --config "$home/${configName}" --work-dir "$home" --mode $mode $yes $no_reboot $json
`;
